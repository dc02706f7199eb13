package egress

// NewTransportWithCheck is NewTransport with another address layer, so that a
// test can see a permitted address without a packet being sent to it.
var NewTransportWithCheck = newTransport

// PlainLength is plainLength.
var PlainLength = plainLength
