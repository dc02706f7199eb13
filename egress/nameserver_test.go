package egress_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A nameServer answers DNS questions on 127.0.0.1, over UDP and TCP, from a map.
// An answer is a comma-separated list of "A addr", "A addr+N" (N addresses from
// addr on), "AAAA addr" and "CNAME name", or one of the words NXDOMAIN, NODATA,
// SERVFAIL and silence. Names it does not know do not exist. Answers separated
// by " | " are given in turn, the last one for ever.
type nameServer struct {
	addr string

	mu      sync.Mutex // guards what follows
	answers map[string]string
	asked   map[string]int // questions of one type about a name with turns
}

const (
	typeA     = 1
	typeCNAME = 5
	typeAAAA  = 28

	flagResponse  = 1 << 15
	flagTruncated = 1 << 9
	rcodeServFail = 2
	rcodeNXDomain = 3

	maxUDP = 1232 // what Go's resolver offers to accept
)

// startNameServer serves the answers of rows until the test ends.
func startNameServer(t *testing.T, rows []destination) *nameServer {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{addr: tcp.Addr().String(), answers: make(map[string]string), asked: make(map[string]int)}
	for _, row := range rows {
		s.set(strings.Trim(strings.TrimPrefix(row.text, "https://"), "/."), row.answer)
	}
	s.set("loop2.test", "CNAME loop.test")
	var serving sync.WaitGroup
	serving.Go(func() { s.serveUDP(udp) })
	serving.Go(func() { s.serveTCP(tcp) })
	t.Cleanup(func() {
		tcp.Close()
		udp.Close()
		serving.Wait()
	})
	return s
}

// set makes answer the answer to questions about name.
func (s *nameServer) set(name, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[name] = answer
}

// resolver returns a resolver that asks nobody but s.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.addr)
		},
	}
}

func (s *nameServer) serveUDP(conn net.PacketConn) {
	buf := make([]byte, maxUDP)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		reply := s.reply(buf[:n])
		if len(reply) > maxUDP {
			reply = truncated(reply, buf[:n])
		}
		if reply != nil {
			conn.WriteTo(reply, from)
		}
	}
}

// serveTCP answers one question for each connection.
func (s *nameServer) serveTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err == nil {
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, query); err == nil {
				reply := s.reply(query)
				conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			}
		}
		conn.Close()
	}
}

// truncated returns the head of reply, without its answers, marked as cut off.
func truncated(reply, query []byte) []byte {
	_, _, end := question(query)
	cut := append([]byte(nil), reply[:end]...)
	binary.BigEndian.PutUint16(cut[2:], flagResponse|flagTruncated)
	clear(cut[6:12])
	return cut
}

// question returns the name and type that query asks for, and where it ends.
func question(query []byte) (name string, qtype uint16, end int) {
	var labels []string
	i := 12
	for query[i] != 0 {
		n := int(query[i])
		labels = append(labels, string(query[i+1:i+1+n]))
		i += 1 + n
	}
	return strings.Join(labels, "."), binary.BigEndian.Uint16(query[i+1:]), i + 5
}

// reply returns the answer to query, or nil for silence.
func (s *nameServer) reply(query []byte) []byte {
	name, qtype, end := question(query)
	records, rcode, silent := s.records(name, qtype)
	if silent {
		return nil
	}
	reply := binary.BigEndian.AppendUint16(nil, binary.BigEndian.Uint16(query))
	reply = binary.BigEndian.AppendUint16(reply, flagResponse|rcode)
	reply = append(reply, 0, 1)
	reply = binary.BigEndian.AppendUint16(reply, uint16(len(records)))
	reply = append(reply, 0, 0, 0, 0)
	reply = append(reply, query[12:end]...)
	for _, r := range records {
		reply = append(reply, r...)
	}
	return reply
}

// records follows CNAMEs as a recursive server does, up to a limit, and returns
// the encoded records for name.
func (s *nameServer) records(name string, qtype uint16) (out [][]byte, rcode uint16, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 8 {
		answer, known := s.answers[strings.TrimSuffix(strings.ToLower(name), ".")]
		if turns := strings.Split(answer, " | "); len(turns) > 1 {
			question := name + " " + strconv.Itoa(int(qtype))
			answer = turns[min(s.asked[question], len(turns)-1)]
			s.asked[question]++
		}
		switch {
		case !known, answer == "NXDOMAIN":
			return nil, rcodeNXDomain, false
		case answer == "SERVFAIL":
			return nil, rcodeServFail, false
		case answer == "silence":
			return nil, 0, true
		case answer == "NODATA":
			return nil, 0, false
		}
		alias, ok := strings.CutPrefix(answer, "CNAME ")
		if !ok {
			return append(out, addresses(name, qtype, answer)...), 0, false
		}
		out = append(out, record(name, typeCNAME, encodeName(alias)))
		name = alias
	}
	return out, 0, false
}

// addresses encodes those records of answer that have the type asked for.
func addresses(name string, qtype uint16, answer string) [][]byte {
	var out [][]byte
	for entry := range strings.SplitSeq(answer, ", ") {
		kind, text, _ := strings.Cut(entry, " ")
		if (kind == "A") != (qtype == typeA) || (kind == "AAAA") != (qtype == typeAAAA) {
			continue
		}
		first, count, _ := strings.Cut(text, "+")
		n, err := strconv.Atoi(count)
		if err != nil {
			n = 1
		}
		for addr := netip.MustParseAddr(first); n > 0; addr, n = addr.Next(), n-1 {
			out = append(out, record(name, qtype, addr.AsSlice()))
		}
	}
	return out
}

// record encodes a resource record of class IN that must not be cached.
func record(name string, rtype uint16, data []byte) []byte {
	b := encodeName(name)
	b = binary.BigEndian.AppendUint16(b, rtype)
	b = append(b, 0, 1, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// encodeName returns name as length-prefixed labels.
func encodeName(name string) []byte {
	var b []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}
