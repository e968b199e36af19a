"""The verb `demo`: everything that leaplan does, on the synthetic kitchen, in one go or on a local web page."""
