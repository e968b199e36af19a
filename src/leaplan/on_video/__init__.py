"""The verbs that answer for a video: `plan` and `recognise`."""
