package hostile_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// Frames of HTTP/2, RFC 9113 section 6, as far as they are needed here.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindow       = 0x8
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagEndHeaders = 0x4

	settingWindow = 0x4
)

// Header blocks, RFC 7541: :status 200 of the static table, and :status 103
// and "a: b" spelled out.
const (
	block200   = "\x88"
	block103   = "\x08\x03103"
	blockField = "\x00\x01a\x01b"
)

func frame(kind, flags byte, stream uint32, payload string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	b = binary.BigEndian.AppendUint32(append(b, flags), stream)
	return append(b, payload...)
}

// code is an error code or another number of 32 bits, as in payloads.
func code(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

func goAway(last, reason uint32) []byte { return frame(frameGoAway, 0, 0, code(last)+code(reason)) }

// setting is a SETTINGS frame with one setting.
func setting(id uint16, value uint32) []byte {
	return frame(frameSettings, 0, 0, string(binary.BigEndian.AppendUint16(nil, id))+code(value))
}

// A says is what a receiver answers to a request on a stream.
type says func(stream uint32) []byte

func nothing(uint32) []byte { return nil }

// http2Receiver begins with hello, answers every whole request, and if it has
// then more to say, says it again and again.
func http2Receiver(hello []byte, reply, again says) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		if _, err := r.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
			return
		}
		c.Write(hello)
		for {
			stream, err := nextRequest(r)
			if err != nil {
				return
			}
			c.Write(reply(stream))
			if more := again(stream); more != nil {
				flood(c, bytes.Repeat(more, 1+8<<10/len(more)))
				return
			}
		}
	}
}

// nextRequest reads frames until a request is whole.
func nextRequest(r *bufio.Reader) (stream uint32, err error) {
	for {
		var head [9]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 0, err
		}
		size := int(binary.BigEndian.Uint32(head[:]) >> 8)
		if _, err := r.Discard(size); err != nil {
			return 0, err
		}
		if kind, flags := head[3], head[4]; kind <= frameHeaders && flags&flagEndStream != 0 {
			return binary.BigEndian.Uint32(head[5:]), nil
		}
	}
}

// deaf never reads what is answered to its floods.
func deaf(hello, again []byte) func(net.Conn) {
	chunk := bytes.Repeat(again, 1+8<<10/len(again))
	return func(c net.Conn) {
		c.Write(hello)
		for {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}
}

// answers is a reply of one frame.
func answers(kind, flags byte, payload string) says {
	return func(stream uint32) []byte { return frame(kind, flags, stream, payload) }
}

// onConnection is a reply that is the same for all streams.
func onConnection(frames ...[]byte) says {
	all := slices.Concat(frames...)
	return func(uint32) []byte { return all }
}

// http2Hostiles are the receivers with HTTP/2.
func http2Hostiles() []hostile {
	wide := frame(frameWindow, 0, 0, code(1<<20)) // of the connection
	hello := append(setting(settingWindow, 1<<20), wide...)
	narrow := append(setting(settingWindow, 0), wide...)
	ping := frame(framePing, 0, 0, "12345678")
	h2 := func(reply, again says) func(net.Conn) { return http2Receiver(hello, reply, again) }
	success := answers(frameHeaders, flagEndHeaders, block200)
	// A field of 3,900 bytes goes into the table, and is then named 12,000
	// times by a byte each: 48 MB.
	bomb := block200 + "\x40\x01a\x7f\xbd\x1d" + string(bytes.Repeat([]byte("v"), 3900)) + string(bytes.Repeat([]byte("\xbe"), 12_000))
	rows := []hostile{
		{name: "silence", serve: listens, class: "timeout", hangs: true},
		{name: "no answer", serve: h2(nothing, nothing), class: "timeout", hangs: true},
		{name: "no body", serve: h2(success, nothing), code: 200, class: "timeout", hangs: true},
		{name: "no window", serve: http2Receiver(narrow, success, nothing), class: "timeout", hangs: true},
		{name: "GOAWAY at once", serve: http2Receiver(slices.Concat(hello, goAway(0, 0)), nothing, nothing), class: "timeout", hangs: true},
		{name: "GOAWAY after the request", serve: h2(onConnection(goAway(1, 0xb)), nothing), class: "timeout", hangs: true},
		{name: "GOAWAY for the request", serve: h2(onConnection(goAway(0, 0)), nothing), class: "timeout", hangs: true},
		{name: "RST_STREAM", serve: h2(answers(frameReset, 0, code(2)), nothing), class: "protocol"},
		{name: "RST_STREAM, refused", serve: h2(answers(frameReset, 0, code(7)), nothing), class: "timeout", hangs: true},
		{name: "endless SETTINGS", serve: h2(nothing, onConnection(setting(settingWindow, 1<<16))), class: "timeout", hangs: true},
		{name: "endless PING", serve: h2(nothing, onConnection(ping)), class: "timeout", hangs: true},
		{name: "endless PING, unread", serve: deaf(hello, ping), class: "timeout", hangs: true},
		{name: "endless SETTINGS, unread", serve: deaf(hello, setting(settingWindow, 1<<20)), class: "timeout", hangs: true},
		{name: "endless CONTINUATION", serve: h2(answers(frameHeaders, 0, block200), answers(frameContinuation, 0, blockField)), class: "protocol"},
		{name: "endless empty CONTINUATION", serve: h2(answers(frameHeaders, 0, block200), answers(frameContinuation, 0, "")), class: "timeout", hangs: true},
		{name: "header bomb", serve: h2(answers(frameHeaders, flagEndHeaders, bomb), nothing), class: "protocol"},
		{name: "endless early hints", serve: h2(nothing, answers(frameHeaders, flagEndHeaders, block103)), class: "protocol"},
		{name: "endless DATA", serve: h2(success, answers(frameData, 0, string(make([]byte, 8<<10)))), code: 200, check: filled},
		{name: "endless empty DATA", serve: h2(success, answers(frameData, 0, "")), code: 200, class: "timeout", hangs: true},
		{name: "DATA before HEADERS", serve: h2(nothing, answers(frameData, 0, "x")), class: "protocol"},
		{name: "PUSH_PROMISE", serve: h2(answers(framePush, flagEndHeaders, code(2)+block200), nothing), class: "protocol"},
		{name: "frame of 16 MiB", serve: h2(onConnection([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x01")), nothing), class: "protocol"},
	}
	for i := range rows {
		rows[i].name, rows[i].speak = "HTTP/2 "+rows[i].name, "h2"
	}
	return rows
}

// What a receiver of HTTP/2 may send before we have read any of it is kept in
// memory, so the window that we open is what an attempt can cost.
func TestWindowOfHTTP2IsBounded(t *testing.T) {
	const most = 2 << 20
	window := make(chan uint32, 1)
	r := hostile{speak: "h2", serve: func(c net.Conn) {
		r := bufio.NewReader(c)
		preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")+len(frame(frameSettings, 0, 0, "")))
		io.ReadFull(r, preface)
		settings := make([]byte, preface[len(preface)-7])
		io.ReadFull(r, settings)
		opened := uint32(1<<16 - 1)
		for pair := range slices.Chunk(settings, 6) {
			if binary.BigEndian.Uint16(pair) == settingWindow {
				opened = binary.BigEndian.Uint32(pair[2:])
			}
		}
		window <- opened
	}}
	s := besiege(t, newAuthority(t), hooks.Config{}, hostileTimeout, []hostile{r})
	kit.Send(t, s.h)
	if got := kit.Soon(t, window); got > most {
		t.Errorf("window of a stream = %d bytes; want at most %d", got, most)
	}
}
