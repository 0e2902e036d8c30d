package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/deploy/engines"
	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/s3"
)

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(rand.Uint32()), byte(rand.Uint32()), byte(n)}).Read(b)
	return b
}

// behind is a store whose server has a faulty line before it.
func behind(t *testing.T, f *engines.FaultyS3, change func(*s3.Options)) (*s3.Store, place) {
	t.Helper()
	f.Set(engines.None, 1)
	p := newPlace(t, &f.S3, true)
	o := p.options(t)
	if change != nil {
		change(&o)
	}
	return open(t, o), p
}

// TestFaults: each fault of the line and of the server, in the middle of work: what was
// told as written is there once and right, what was not is not told, and the store goes
// on when the fault is gone.
func TestFaults(t *testing.T) {
	server := engines.MinIO(t)
	f := engines.Faulty(t, server)

	t.Run("lost answers", func(t *testing.T) {
		s, p := behind(t, f, func(o *s3.Options) { o.Tries = 8 })
		f.Set(engines.LostAnswer, 1)
		writeEach(t, s, "lost")
		if f.Met() == 0 {
			t.Error("no answer was lost")
		}
		f.Set(engines.LostAnswer, 3)
		large := noise(12 << 20)
		d, _, err := s.Put(t.Context(), bytes.NewReader(large))
		must(t, err)
		must(t, s.Create(t.Context(), "large", bytes.NewReader(large)))
		oneCreates(t, s, "raced")
		f.Set(engines.None, 1)
		readObject(t, s, d, large)
		if n := p.versions(t); n != 1+objectsAndNames+3 {
			t.Errorf("%d versions lie there", n)
		}
		checkAll(t, s, p)
	})
	for _, fault := range []engines.Fault{engines.Refuse, engines.Broken} {
		t.Run(string(fault)+" now and then", func(t *testing.T) {
			s, p := behind(t, f, func(o *s3.Options) { o.Tries = 10 })
			f.Set(fault, 3)
			writeEach(t, s, "x")
			oneCreates(t, s, "raced")
			f.Set(engines.None, 1)
			checkAll(t, s, p)
		})
		t.Run(string(fault)+" always", func(t *testing.T) {
			s, p := behind(t, f, func(o *s3.Options) { o.Tries = 2 })
			f.Set(fault, 1)
			for what, err := range eachWrite(t, s) {
				if err == nil || errors.Is(err, storage.ErrExists) || errors.Is(err, storage.ErrStopped) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, err := s.ReadName(t.Context(), "x", 1); err == nil || errors.Is(err, os.ErrNotExist) {
				t.Errorf("a name that nobody could ask for: %v", err)
			}
			if _, err := s.Has(t.Context(), hashing.Of([]byte("x"))); err == nil {
				t.Error("an Object that nobody could ask for is said to be there or not")
			}
			f.Set(engines.None, 1)
			if n := p.versions(t); n != 1 {
				t.Errorf("%d versions lie there", n)
			}
			writeEach(t, s, "after")
		})
	}
	t.Run("full", func(t *testing.T) {
		s, _ := behind(t, f, nil)
		f.Set(engines.Full, 1)
		for what, err := range eachWrite(t, s) {
			if !errors.Is(err, storage.ErrFull) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if f.Met() > 6 {
			t.Errorf("%d requests to a full store", f.Met())
		}
		if err := s.Accept(t.Context()); !errors.Is(err, storage.ErrFull) || !strings.Contains(err.Error(), "add disks") {
			t.Errorf("accept: %v", err)
		}
		f.Set(engines.None, 1)
		must(t, s.Create(t.Context(), "after", strings.NewReader("x")))
		must(t, s.Accept(t.Context()))
	})
	t.Run("slow", func(t *testing.T) {
		s, _ := behind(t, f, func(o *s3.Options) { o.Wait, o.Tries = time.Second, 2 })
		f.SetSlow(engines.Slow, 1, 100*time.Millisecond)
		writeEach(t, s, "slow")
		f.SetSlow(engines.Slow, 1, time.Minute)
		begun := time.Now()
		if err := s.Create(t.Context(), "never", strings.NewReader("x")); err == nil {
			t.Error("was created")
		}
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
	t.Run("wrong bytes", func(t *testing.T) {
		s, _ := behind(t, f, nil)
		b := noise(100_000)
		d, _, err := s.Put(t.Context(), bytes.NewReader(b))
		must(t, err)
		must(t, s.Create(t.Context(), "named", strings.NewReader("01234567")))
		f.Set(engines.WrongBytes, 1)
		if got, err := s.ReadName(t.Context(), "named", 100); !errors.Is(err, hashing.ErrMismatch) {
			t.Errorf("wrong bytes under a name: %q, %v", got, err)
		}
		f.Set(engines.WrongBytes, 2) // now and then
		for range 10 {
			if got, err := s.ReadName(t.Context(), "named", 100); err != nil || string(got) != "01234567" {
				t.Errorf("wrong bytes now and then: %q, %v", got, err)
			}
		}
		f.Set(engines.WrongBytes, 1)
		r, _, err := s.Open(t.Context(), d)
		must(t, err)
		if _, err = io.Copy(io.Discard, r); !errors.Is(err, hashing.ErrMismatch) {
			t.Errorf("wrong bytes: %v", err)
		}
		r.Close()
		if _, _, err := s.Put(t.Context(), bytes.NewReader(b)); !errors.Is(err, hashing.ErrMismatch) {
			t.Errorf("put over wrong bytes: %v", err)
		}
		f.Set(engines.None, 1)
		readObject(t, s, d, b)
		must(t, s.Accept(t.Context()))
	})
	t.Run("cut", func(t *testing.T) {
		s, _ := behind(t, f, func(o *s3.Options) { o.Tries = 10 })
		b := noise(3 << 20)
		d, _, err := s.Put(t.Context(), bytes.NewReader(b))
		must(t, err)
		must(t, s.Create(t.Context(), "n", bytes.NewReader(b)))
		f.Set(engines.Cut, 1)
		readObject(t, s, d, b[:0])
		f.Set(engines.Cut, 2)
		readObject(t, s, d, b)
		file, err := s.OpenName(t.Context(), "n")
		must(t, err)
		got := make([]byte, len(b))
		if _, err := file.ReadAt(got, 0); err != nil && err != io.EOF || !bytes.Equal(got, b) {
			t.Errorf("read at: %v", err)
		}
		if f.Met() == 0 {
			t.Error("nothing was cut")
		}
	})
	t.Run("server away", func(t *testing.T) {
		s, p := behind(t, f, func(o *s3.Options) { o.Tries = 12 })
		server.Kill()
		done := make(chan error)
		go func() { done <- s.Create(context.Background(), "waits", strings.NewReader("x")) }()
		time.Sleep(500 * time.Millisecond)
		server.Restart(t)
		must(t, <-done)
		checkAll(t, s, p)
	})
	t.Run("server hangs", func(t *testing.T) {
		s, _ := behind(t, f, func(o *s3.Options) { o.Wait, o.Tries = time.Second, 2 })
		d, _, err := s.Put(t.Context(), strings.NewReader("x"))
		must(t, err)
		server.Pause()
		defer server.Resume()
		begun := time.Now()
		if _, _, err := s.Open(t.Context(), d); err == nil {
			t.Error("was opened")
		}
		if err := s.Create(t.Context(), "never", strings.NewReader("x")); err == nil {
			t.Error("was created")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := s.ReadName(ctx, "n", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a deadline: %v", err)
		}
		if took := time.Since(begun); took > 25*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

// objectsAndNames is how many things writeEach writes.
const objectsAndNames = 7

// writeEach goes through each door to a write; all must say that it created.
func writeEach(t *testing.T, s *s3.Store, x string) {
	t.Helper()
	for what, err := range doors(t.Context(), s, x) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Create(t.Context(), "create/"+x, strings.NewReader("another")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("a second create: %v", err)
	}
}

func eachWrite(t *testing.T, s *s3.Store) map[string]error { return doors(t.Context(), s, "x") }

func doors(ctx context.Context, s *s3.Store, x string) map[string]error {
	errs := map[string]error{}
	_, _, errs["put"] = s.Put(ctx, strings.NewReader(x))
	errs["put digest"] = s.PutDigest(ctx, hashing.Of([]byte(x+x)), int64(2*len(x)), strings.NewReader(x+x))
	errs["create"] = s.Create(ctx, "create/"+x, strings.NewReader(x))
	taken, err := s.CreateAll(ctx, storage.Item{Name: "all/1/" + x, Data: []byte(x)}, storage.Item{Name: "all/2/" + x})
	if err == nil && len(taken) > 0 {
		err = fmt.Errorf("its own names are said to be taken: %q", taken)
	}
	errs["create all"] = err
	d := hashing.Of([]byte(x + "!"))
	object := incoming("", x+"!")
	object.Digest = &d
	n, err := s.Import(ctx, []storage.Incoming{incoming("import/"+x, x), object})
	if err == nil && n != int64(2*len(x)+1) {
		err = fmt.Errorf("%d bytes are said to be written", n)
	}
	errs["import"] = err
	return errs
}

// oneCreates: of many, through two handles' worth of lost answers, exactly one creates.
func oneCreates(t *testing.T, s *s3.Store, name string) {
	t.Helper()
	var created atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := s.Create(t.Context(), name, strings.NewReader(fmt.Sprint(i%2)))
			if err == nil {
				created.Add(1)
			} else if !errors.Is(err, storage.ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 {
		t.Errorf("%d created %s", created.Load(), name)
	}
}

func readObject(t *testing.T, s *s3.Store, d hashing.Digest, want []byte) {
	t.Helper()
	r, _, err := s.Open(t.Context(), d)
	must(t, err)
	defer r.Close()
	if len(want) == 0 { // only that it does not end well
		if _, err := io.Copy(io.Discard, r); err == nil {
			t.Error("half an Object was read to its end")
		}
		return
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
	}
}

// checkAll reads all that is there, and finds every key once and nothing odd.
func checkAll(t *testing.T, s *s3.Store, p place) {
	t.Helper()
	n := 1 // the marker
	for o, err := range s.Objects(t.Context()) {
		must(t, err)
		r, _, err := s.Open(t.Context(), o.Digest)
		must(t, err)
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
		r.Close()
		n++
	}
	for _, err := range s.List(t.Context(), "") {
		must(t, err)
		n++
	}
	if v := p.versions(t); v != n {
		t.Errorf("%d versions of %d keys", v, n)
	}
}

// meddler changes what passes.
type meddler struct {
	http.RoundTripper
	left     atomic.Int64 // how many writes it meddles with
	request  func(*http.Request)
	response func(*http.Response)
}

func (m *meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	meddle := r.Method == http.MethodPut && m.left.Add(-1) >= 0
	if meddle && m.request != nil {
		m.request(r)
	}
	resp, err := m.RoundTripper.RoundTrip(r)
	if err == nil && meddle && m.response != nil {
		m.response(resp)
	}
	return resp, err
}

// TestChangedOnTheWay: bytes that the line changed are refused by the server, sent
// again, and never lie under a name; a server that says that it keeps other bytes than
// it was sent ends all writing.
func TestChangedOnTheWay(t *testing.T) {
	server := engines.MinIO(t)
	p := newPlace(t, server, true)
	flip := func(r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if len(b) > 0 {
			b[0] ^= 1
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	o := p.options(t)
	m := &meddler{RoundTripper: o.Transport, request: flip}
	o.Transport = m
	s := open(t, o)
	for _, size := range []int{1000, 11 << 20} {
		b := noise(size)
		m.left.Store(1)
		d, _, err := s.Put(t.Context(), bytes.NewReader(b))
		must(t, err)
		readObject(t, s, d, b)
	}
	m.left.Store(1000)
	for _, size := range []int{1000, 11 << 20} {
		if _, _, err := s.Put(t.Context(), bytes.NewReader(noise(size))); !errors.Is(err, hashing.ErrMismatch) || errors.Is(err, storage.ErrStopped) {
			t.Errorf("changed each time: %v", err)
		}
	}
	m.left.Store(0)
	checkAll(t, s, p)
	writeEach(t, s, "goes-on")

	for _, size := range []int{1000, 11 << 20} {
		m := &meddler{RoundTripper: transport(t, server), response: func(r *http.Response) {
			r.Header.Set("X-Amz-Checksum-Sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
		}}
		o.Transport = m
		s := open(t, o)
		m.left.Store(1)
		_, _, err := s.Put(t.Context(), bytes.NewReader(noise(size)))
		if !errors.Is(err, storage.ErrStopped) || !errors.Is(err, hashing.ErrMismatch) {
			t.Errorf("the server keeps other bytes: %v", err)
		}
		if err := s.Create(t.Context(), "then", strings.NewReader("x")); !errors.Is(err, storage.ErrStopped) {
			t.Errorf("after that: %v", err)
		}
	}
}

// TestSpool: what waits is bounded, and nothing of it is left.
func TestSpool(t *testing.T) {
	p := newPlace(t, engines.MinIO(t), true)
	o := p.options(t)
	o.MaxSpool = 1 << 20
	s := open(t, o)
	for range 3 {
		if _, _, err := s.Put(t.Context(), bytes.NewReader(noise(2<<20))); !errors.Is(err, storage.ErrFull) {
			t.Errorf("more than may wait: %v", err)
		}
		_, _, err := s.Put(t.Context(), bytes.NewReader(noise(1<<20)))
		must(t, err)
		must(t, s.Accept(t.Context()))
	}
	pr, pw := io.Pipe()
	done := make(chan error)
	go func() { _, _, err := s.Put(t.Context(), pr); done <- err }()
	pw.Write(noise(700_000))
	if err := s.Accept(t.Context()); !errors.Is(err, storage.ErrFull) {
		t.Errorf("accept while much waits: %v", err)
	}
	if left, _ := os.ReadDir(o.Spool); len(left) != 0 {
		t.Errorf("%d files with names in the spool", len(left))
	}
	pw.Close()
	must(t, <-done)
	must(t, s.Accept(t.Context()))
}

// TestImportLarge: more than the spool may hold comes in all the same, since what is
// not at the head waits with its first bytes.
func TestImportLarge(t *testing.T) {
	p := newPlace(t, engines.MinIO(t), true)
	o := p.options(t)
	o.MaxSpool = 8 << 20
	s := open(t, o)
	var in []storage.Incoming
	var size int64
	for i := range 18 {
		n := int64(3<<20 + i)
		in, size = append(in, storage.Incoming{Name: fmt.Sprintf("n/%d", i), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(zeros{}, n)), nil
		}}), size+n
	}
	n, err := s.Import(t.Context(), in)
	if err != nil || n != size {
		t.Errorf("%d of %d bytes, %v", n, size, err)
	}
	must(t, s.Accept(t.Context()))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
