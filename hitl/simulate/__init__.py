"""What corrections buy: an oracle with the true labels corrects, strategy by strategy."""
