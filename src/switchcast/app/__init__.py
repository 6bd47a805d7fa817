"""Where the parts are put together: what a person, a script or an init system starts."""
