"""Where models come from: folders in Triton's layout, config.pbtxt, versions, and what has changed."""
