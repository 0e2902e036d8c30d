package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/deploy/engines"
)

// TestDeploySystemd: the units of a scaled node as the package has them, under systemd as
// process 1 of a Debian of its own, beside real Kafka, MinIO and PostgreSQL, while captures
// flow: each role is killed and comes back, stopped and ends in order with nothing half
// sealed, all are upgraded, the target stops and starts them, and every capture is in one
// Seal (testdata/package/scaled.sh). To make that Debian takes minutes, so HOLDFAST_LONG has
// it.
func TestDeploySystemd(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" || os.Getenv("HOLDFAST_JUDGES") == "" {
		t.Skip("HOLDFAST_LONG and HOLDFAST_JUDGES have the units run under systemd: ./test long")
	}
	if _, err := exec.LookPath("systemd-nspawn"); err != nil || os.Getuid() != 0 {
		t.Skip("NOT RUN: no Debian can be booted here (that needs systemd-nspawn, and root)")
	}
	p := newPackages(t)
	s := &office{t: t, minio: engines.MinIO(t), pg: engines.PostgreSQL(t), kafka: engines.Kafka(t, 1)}
	if err := s.bucket("holdfast", true); err != nil {
		t.Fatal(err)
	}
	deb, err := p.build(p.repository(), p.programs)
	if err != nil {
		t.Fatal(err)
	}
	debian := os.Getenv("HOLDFAST_DEBIAN") // one that was made before, for working on the script
	if debian == "" {
		debian = filepath.Join(t.TempDir(), "debian.tar")
		p.must(30*time.Minute, nil, "bash", "testdata/package/debian.sh", debian)
	}
	site := httptest.NewServer(http.FileServer(http.Dir("testdata/compose/site")))
	defer site.Close()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	env := filepath.Join(t.TempDir(), "env")
	b := fmt.Sprintf("QUEUE=kafka://%s/units?single-broker=true&partitions=2\nSTORE=s3://holdfast/units?endpoint=%s\nCATALOG=%s\npg_password=%s\ns3_keys=%s\\\\n%s\\\\n\nSITE=%s/\nAPI_PORT=%d\n",
		strings.Join(s.kafka.Brokers, ","), s.minio.Endpoint, s.pg.Database(t, "units"), s.pg.Password, s.minio.AccessKey, s.minio.SecretKey, site.URL, door.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile(env, []byte(b), 0o600); err != nil {
		t.Fatal(err)
	}
	door.Close() // the node's, from now on
	said, err := p.command(50*time.Minute, nil, "bash", "testdata/package/systemd.sh", debian, deb, "testdata/package/scaled.sh", env)
	t.Logf("%s", said)
	if err != nil {
		t.Fatal(err)
	}
}
