package h2_test

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"holdfast/collectors/web/h2"
)

// TestNothingAfterClose guards that who keeps the frames can close his file once a
// connection is closed, and that no answer is called sent which the connection never took.
func TestNothingAfterClose(t *testing.T) {
	for range 200 {
		near, far := pipe(t)
		var got atomic.Int64 // pings that the site had answered
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
			fr := http2.NewFramer(far, far)
			fr.WriteSettings()
			go func() {
				for range 300 {
					fr.WritePing(false, [8]byte{1})
				}
			}()
			for {
				f, err := fr.ReadFrame()
				if err != nil {
					return
				}
				if f.Header().Type == http2.FramePing {
					got.Add(1)
				}
			}
		}()
		var closed, late, sent atomic.Int64
		conn, err := h2.New(near, h2.Options{MaxHead: 4 << 10, Log: func(f h2.Frame) error {
			if f.Sent && f.Type == http2.FramePing {
				sent.Add(1)
				time.Sleep(200 * time.Microsecond) // a disk
			}
			late.Add(closed.Load())
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		for got.Load() == 0 {
			time.Sleep(10 * time.Microsecond)
		}
		conn.Close()
		closed.Store(1)
		<-ended
		far.Close()
		time.Sleep(2 * time.Millisecond)
		if late.Load() > 0 {
			t.Fatalf("%d frames were logged after Close", late.Load())
		}
		if got.Load() > sent.Load() {
			t.Fatalf("the site had %d answers, the log %d", got.Load(), sent.Load())
		}
	}
}
