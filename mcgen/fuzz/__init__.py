"""Random legal specs, run on every back end and compared with the reference. Needs hypothesis (`pip install 'mcgen[test]'`)."""
