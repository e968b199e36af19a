"""From many videos to features on disk, by workers that can be killed."""
