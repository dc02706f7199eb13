// Package hostile holds the tests of receivers that do their worst: they hang, trickle,
// flood, break off, lie about lengths or never end, over HTTP/1, HTTP/2 and TLS. None of
// them may cost more than bounded memory, time, goroutines and sockets, nor repeat a
// request that was answered.
package hostile
