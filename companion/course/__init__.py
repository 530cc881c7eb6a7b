"""The course's tools: build, run and check the notebooks, and answer their exercises."""
