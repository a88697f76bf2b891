"""What each verb of the command line takes and does: flags(parser) and run(args, overrides, command) -> exit code."""
