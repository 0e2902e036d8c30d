package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/deploy/engines"
)

// TestScaled runs the scripts of nodes whose queue, store and catalog are real servers:
// Apache Kafka, MinIO, PostgreSQL. Each script has a bucket, a database and a prefix of
// topics of its own: $STORE, $CATALOG and $QUEUE.
func TestScaled(t *testing.T) {
	scripts, err := filepath.Glob("testdata/scaled/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	s := &office{t: t, minio: engines.MinIO(t), pg: engines.PostgreSQL(t), kafka: engines.Kafka(t, 1, "log.retention.check.interval.ms=2000")} // here: a script cannot skip
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scaled",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			repo, err := filepath.Abs("../..")
			e.Setenv("HOLDFAST_DATA", filepath.Join(e.WorkDir, "node"))
			e.Setenv("HOLDFAST_BROWSER", os.Getenv("HOLDFAST_BROWSER"))
			e.Setenv("VERIFY_SH", filepath.Join(repo, "export", "verify.sh"))
			e.Values[roleKey{}] = map[string]*exec.Cmd{}
			if err == nil {
				err = s.setup(e)
			}
			return err
		},
		Condition: func(cond string) (bool, error) { return cond == "chromium" && chromium() != "", nil },
		Cmds: egressCommands(watchCommands(telegramCommands(apiCommands(judgeCommands(exportCommands(map[string]func(*testscript.TestScript, bool, []string){
			"code": cmdCode, "site": cmdSite, "tsa": cmdTSA, "office": cmdOffice, "jsonkeys": cmdJSONKeys, "jsonlast": cmdJSONLast,
			"setout": cmdSetOut, "flip": cmdFlip, "role": cmdRole, "eventually": cmdEventually, "lose": cmdLose, "once": cmdOnce, "bucket": s.cmdBucket,
			"disks": s.cmdDisks, "segments": cmdSegments, "analyze": s.cmdAnalyze,
		})))))),
	})
}

// office are the servers, started once.
type office struct {
	t     *testing.T
	n     int64
	minio *engines.S3
	pg    *engines.PG
	kafka *engines.KafkaCluster
}

func (s *office) setup(e *testscript.Env) error {
	n := atomic.AddInt64(&s.n, 1) // scripts run side by side
	e.Setenv("CATALOG", s.pg.Database(s.t, fmt.Sprintf("office%d", n)))
	e.Setenv("PGPASSWORD", s.pg.Password)
	e.Setenv("QUEUE", "kafka://"+strings.Join(s.kafka.Brokers, ",")+fmt.Sprintf("/office%d?single-broker=true&partitions=2", n))
	for _, more := range []string{"2", "3"} { // further ones, for what is restored
		e.Setenv("CATALOG"+more, s.pg.Database(s.t, fmt.Sprintf("office%dx%s", n, more)))
		e.Setenv("QUEUE"+more, "kafka://"+strings.Join(s.kafka.Brokers, ",")+fmt.Sprintf("/office%dx%s?single-broker=true&partitions=2", n, more))
	}
	bucket := fmt.Sprintf("holdfast-%d", n)
	for _, b := range []string{bucket, bucket + "-other"} {
		if err := s.bucket(b, true); err != nil {
			return err
		}
	}
	if err := s.bucket(bucket+"-plain", false); err != nil {
		return err
	}
	e.Setenv("STORE", "s3://"+bucket+"/office?endpoint="+s.minio.Endpoint)
	e.Setenv("STORE_OTHER", "s3://"+bucket+"-other/office?endpoint="+s.minio.Endpoint)
	e.Setenv("STORE_EMPTY", "s3://"+bucket+"-other/nowhere?endpoint="+s.minio.Endpoint)
	e.Setenv("STORE_PLAIN", "s3://"+bucket+"-plain/office?endpoint="+s.minio.Endpoint)
	e.Setenv("AWS_ACCESS_KEY_ID", s.minio.AccessKey)
	e.Setenv("AWS_SECRET_ACCESS_KEY", s.minio.SecretKey)
	return nil
}

func (s *office) bucket(name string, lock bool) error {
	u, err := url.Parse(s.minio.Endpoint)
	if err != nil {
		return err
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(s.minio.AccessKey, s.minio.SecretKey, ""), Secure: u.Scheme == "https"})
	if err != nil {
		return err
	}
	return c.MakeBucket(context.Background(), name, minio.MakeBucketOptions{ObjectLocking: lock})
}

// cmdRole is `role start NAME ARG…`, which starts `holdfast ARG…` in the background
// and waits until it says that it works, and `role stop NAME`, `role kill NAME`. stop
// asks it to end, waits, and wants exit 0.
func cmdRole(ts *testscript.TestScript, neg bool, args []string) {
	what, name := args[0], args[1]
	roles, _ := ts.Value(roleKey{}).(map[string]*exec.Cmd)
	if what == "start" {
		log, err := os.Create(ts.MkAbs("role-" + name + ".log"))
		ts.Check(err)
		cmd := exec.Command("holdfast", args[2:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), log, log
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + ts.MkAbs(".")}
		for _, k := range []string{"HOLDFAST_DATA", "HOLDFAST_BROWSER", "HOLDFAST_TELEGRAM_SERVERS", "HOLDFAST_TELEGRAM_APP_ID", "HOLDFAST_TELEGRAM_APP_HASH", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "TESTSCRIPT_COMMAND"} {
			cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		ts.Check(cmd.Start())
		roles[name] = cmd
		ts.Defer(func() { _ = cmd.Process.Kill(); _, _ = cmd.Process.Wait(); log.Close() })
		for range 600 {
			if strings.Contains(ts.ReadFile("role-"+name+".log"), "working") {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		ts.Fatalf("%v does not work: %s", args[2:], ts.ReadFile("role-"+name+".log"))
	}
	cmd := roles[name]
	if cmd == nil {
		ts.Fatalf("no role %s", name)
	}
	delete(roles, name)
	sig := os.Signal(syscall.SIGTERM)
	if what == "kill" {
		sig = os.Kill
	}
	ts.Check(cmd.Process.Signal(sig))
	err := cmd.Wait()
	if what == "stop" && err != nil {
		ts.Fatalf("role %s ended with %v: %s", name, err, ts.ReadFile("role-"+name+".log"))
	}
}

type roleKey struct{}

// cmdEventually is `eventually PATTERN COMMAND…`: the command is run again until its
// output has the pattern, for two minutes. Where it never has, what the processes in the
// background said is told too: the reason is theirs.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	for range 240 {
		_ = ts.Exec(args[1], args[2:]...)
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	ts.Fatalf("%v never says %q: %s\n%s%s", args[1:], args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"), backgroundSaid(ts))
}

// backgroundSaid is the end of each log of a role and of the doors.
func backgroundSaid(ts *testscript.TestScript) string {
	const most = 4 << 10
	logs, _ := filepath.Glob(ts.MkAbs("role-*.log"))
	var b strings.Builder
	for _, name := range append(logs, ts.MkAbs("door.log")) {
		said, err := os.ReadFile(name)
		if err == nil {
			fmt.Fprintf(&b, "\n[%s]\n%s", filepath.Base(name), said[max(0, len(said)-most):])
		}
	}
	return b.String()
}
