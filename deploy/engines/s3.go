package engines

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// S3 is one server of objects, empty.
type S3 struct {
	Endpoint  string // http://127.0.0.1:PORT, or https://
	AccessKey string
	SecretKey string
	Region    string
	CA        string // the file with the certificate to trust, where Endpoint is https://; else ""
	Data      string // the folder it keeps all in

	s      *server
	client *http.Client
}

// MinIO starts one over plain HTTP.
func MinIO(t testing.TB) *S3 { return minio(t, nil) }

// MinIOTLS starts one over HTTPS.
func MinIOTLS(t testing.TB) *S3 { return minio(t, certify(t)) }

func minio(t testing.TB, c *certs) *S3 {
	t.Helper()
	program := filepath.Join(folder(t, "minio/minio"), "minio/minio")
	s, dir, addr := newS3(t, "minio", c)
	args := []string{program, "server", "--quiet", "--address", addr, "--console-address", "127.0.0.1:" + strconv.Itoa(port(t)), "--certs-dir", filepath.Join(dir, "certs")}
	if c != nil {
		c.write(t, filepath.Join(dir, "certs"), "public.crt", "private.key")
	}
	s.s.args = append(args, s.Data)
	s.s.env = []string{"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "MINIO_REGION=" + s.Region,
		"MINIO_UPDATE=off", "MINIO_CI_CD=1", "HOME=" + dir}
	s.s.must(t, s.ready)
	return s
}

// Versity starts versitygw over HTTPS: over plain HTTP it answers no checksum that comes
// after the data, which minio-go sends. It asks nothing of the disk at a write.
func Versity(t testing.TB) *S3 {
	t.Helper()
	program := filepath.Join(folder(t, "versitygw/versitygw"), "versitygw/versitygw")
	c := certify(t)
	s, dir, addr := newS3(t, "versitygw", c)
	versions := filepath.Join(dir, "versions")
	if err := os.Mkdir(versions, 0o755); err != nil {
		t.Fatal(err)
	}
	c.write(t, filepath.Join(dir, "certs"), "public.crt", "private.key")
	s.s.args = []string{program, "--port", addr, "--region", s.Region,
		"--cert", filepath.Join(dir, "certs", "public.crt"), "--key", filepath.Join(dir, "certs", "private.key"),
		"posix", "--versioning-dir", versions, s.Data}
	s.s.env = []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey}
	s.s.must(t, s.ready)
	return s
}

func newS3(t testing.TB, name string, c *certs) (s *S3, dir, addr string) {
	t.Helper()
	dir = scratch(t, name)
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port(t)))
	s = &S3{Endpoint: "http://" + addr, AccessKey: "holdfast", SecretKey: "not a secret", Region: "us-east-1", Data: filepath.Join(dir, "data"),
		s: &server{name: name, dir: dir, stop: syscall.SIGKILL}, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if c != nil {
		s.Endpoint, s.CA = "https://"+addr, c.file
		s.client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: c.pool()}}
	}
	if err := os.Mkdir(s.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	return s, dir, addr
}

// ready: it says to one without a key that he may not. A server that is not ready says
// otherwise, or nothing.
func (s *S3) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+"/", nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		return fmt.Errorf("it is not ready: %s", resp.Status)
	}
	return nil
}

// TLS is what a client needs to trust the server; nil over plain HTTP.
func (s *S3) TLS(t testing.TB) *tls.Config { return trusting(t, s.CA) }

// Kill ends the server at once.
func (s *S3) Kill() { s.s.end(syscall.SIGKILL) }

// Pause makes the server hang, with the connections that it has.
func (s *S3) Pause() { s.s.pause() }

// Resume ends Pause.
func (s *S3) Resume() { s.s.signal(syscall.SIGCONT) }

// Restart ends the server if it runs, and starts it at the same place with the same data.
func (s *S3) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	if err := s.s.start(); err != nil {
		t.Fatal(err)
	}
	if err := s.s.await(s.ready); err != nil {
		t.Fatal(err)
	}
}
