package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func apiCommands(to map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	to["door"], to["certificate"] = cmdDoor, cmdCertificate
	return to
}

// cmdDoor is `door start NAME [FLAG…]` and `door stop`: the real `node api`, on an
// address that is free; $NAME is its address, door.log what it says on stderr.
func cmdDoor(ts *testscript.TestScript, neg bool, args []string) {
	pid := ts.MkAbs("door.pid")
	if args[0] == "stop" {
		stopProcess(ts, pid)
		return
	}
	cmd := exec.Command("holdfast", append([]string{"node", "api", "-v", "--listen", "127.0.0.1:0"}, args[2:]...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = os.Environ()
	for _, k := range []string{"HOLDFAST_DATA", "HOLDFAST_BROWSER", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"} {
		if v := ts.Getenv(k); v != "" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	log, err := os.OpenFile(ts.MkAbs("door.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Check(os.WriteFile(pid, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600))
	gone := make(chan struct{})
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { _ = cmd.Wait(); log.Close(); close(gone) }()
	ts.Defer(func() { _ = cmd.Process.Kill(); <-gone })
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "serving ")
	if !ok {
		ts.Fatalf("node api said %q, %v", line, err)
	}
	ts.Setenv(args[1], url)
}

// cmdCertificate writes node.crt and node.key for 127.0.0.1.
func cmdCertificate(ts *testscript.TestScript, neg bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	ts.Check(err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("node.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("node.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
}

// TestOpenLine guards that no token goes in clear between machines, by a typing error
// or a missing flag: neither does the node listen so, nor does the client ask so.
func TestOpenLine(t *testing.T) {
	for listen, good := range map[string]bool{"127.0.0.1:0": true, "[::1]:0": true, "localhost:1": true, ":8017": false, "0.0.0.0:8017": false, "[::]:1": false, "192.0.2.1:1": false, "node.example.org:1": false, "127.0.0.1": false} {
		if _, err := (apiOptions{listen: listen}).check(); (err == nil) != good {
			t.Errorf("--listen %s: %v", listen, err)
		}
	}
	t.Setenv("HOLDFAST_TOKEN", "hft_0123456789ab_"+strings.Repeat("0", 64))
	for server, good := range map[string]bool{"http://127.0.0.1:1": true, "http://[::1]:1": true, "https://node.example.org": true, "https://node.example.org/holdfast/": true,
		"http://node.example.org": false, "http://127.0.0.1.example.org": false, "node.example.org": false, "https://desk:x@node.example.org": false, "https://node.example.org/?token=x": false, "ftp://127.0.0.1": false} {
		if _, err := (&remote{server: server}).client(); (err == nil) != good {
			t.Errorf("--server %s: %v", server, err)
		}
	}
}
