package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// A server answers HTTP requests on a free port of this machine.
type server struct {
	URL string

	http    http.Server
	serving sync.WaitGroup
}

// serve starts a server. Its owner stops it.
func serve(h http.Handler) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{URL: "http://" + l.Addr().String()}
	s.http = http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	s.serving.Go(func() { s.http.Serve(l) }) // until stop
	return s, nil
}

// stop lets requests under way finish, for a few seconds.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
	}
	s.serving.Wait()
}
