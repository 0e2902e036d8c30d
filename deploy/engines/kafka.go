package engines

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// KafkaCluster is one or more brokers, each its own controller too (KRaft).
type KafkaCluster struct {
	Brokers  []string // host:port of each, in order
	User     string   // with SASL (SCRAM-SHA-512 over TLS); else ""
	Password string
	CA       string // the file with the certificate to trust, with TLS; else ""

	transport *kafka.Transport
	servers   []*server
}

// Kafka starts that many brokers (1 or 3) that ask nobody who he is. Topics are not made
// by themselves. Of three, two must have a message before it is acknowledged, and a dead
// one is noticed after three seconds. Lines of server.properties may be added.
func Kafka(t testing.TB, brokers int, properties ...string) *KafkaCluster {
	return cluster(t, brokers, nil, properties)
}

// KafkaSASL starts that many brokers that talk TLS and ask for a name and a password.
func KafkaSASL(t testing.TB, brokers int, properties ...string) *KafkaCluster {
	return cluster(t, brokers, certify(t), properties)
}

func cluster(t testing.TB, brokers int, c *certs, properties []string) *KafkaCluster {
	t.Helper()
	dir := filepath.Join(folder(t, "kafka/classpath"), "kafka")
	k := &KafkaCluster{transport: &kafka.Transport{MetadataTTL: 200 * time.Millisecond, DialTimeout: 2 * time.Second}}
	var voters []string
	controllers := make([]int, brokers)
	for i := range brokers {
		controllers[i] = port(t)
		k.Brokers = append(k.Brokers, net.JoinHostPort("127.0.0.1", strconv.Itoa(port(t))))
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, controllers[i]))
	}
	if c != nil {
		k.User, k.Password, k.CA = "holdfast", "not-a-secret", c.file
		mechanism, err := scram.Mechanism(scram.SHA512, k.User, k.Password)
		if err != nil {
			t.Fatal(err)
		}
		k.transport.TLS, k.transport.SASL = &tls.Config{RootCAs: c.pool()}, mechanism
	}
	t.Cleanup(k.transport.CloseIdleConnections)
	for i := range brokers {
		home := scratch(t, "kafka")
		lines := append(k.properties(i, home, brokers, controllers[i], strings.Join(voters, ","), c), properties...)
		if err := os.WriteFile(filepath.Join(home, "server.properties"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if c != nil { // Kafka reads key and certificate from one file
			if err := os.WriteFile(filepath.Join(home, "broker.pem"), slices.Concat(c.key, c.cert), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k.servers = append(k.servers, broker(t, dir, home, i))
	}
	k.begin(t)
	return k
}

// Data is the folder of broker i's logs.
func (k *KafkaCluster) Data(i int) string { return filepath.Join(k.servers[i].dir, "data") }

// properties are one broker's settings, made small and quick to notice: an office's are in
// docs/scale.md.
func (k *KafkaCluster) properties(i int, home string, brokers, controller int, voters string, c *certs) []string {
	protocol, replicas, insync := "PLAINTEXT", 1, 1
	if brokers >= 3 {
		replicas, insync = 3, 2
	}
	if c != nil {
		protocol = "SASL_SSL"
	}
	lines := []string{
		"process.roles=broker,controller",
		"node.id=" + strconv.Itoa(i+1),
		"controller.quorum.voters=" + voters,
		"controller.listener.names=CONTROLLER",
		fmt.Sprintf("listeners=%s://%s,CONTROLLER://127.0.0.1:%d", protocol, k.Brokers[i], controller),
		fmt.Sprintf("advertised.listeners=%s://%s", protocol, k.Brokers[i]),
		"security.inter.broker.protocol=" + protocol,
		"log.dirs=" + filepath.Join(home, "data"),
		"auto.create.topics.enable=false",
		"message.max.bytes=8388608",
		"replica.fetch.max.bytes=8388608",
		"offsets.topic.num.partitions=4",
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=1000",
		"broker.session.timeout.ms=3000",
		"broker.heartbeat.interval.ms=500",
		"replica.lag.time.max.ms=5000",
		"log.cleaner.dedupe.buffer.size=8388608",
		"num.network.threads=2",
		"num.io.threads=4",
		fmt.Sprintf("default.replication.factor=%d", replicas),
		fmt.Sprintf("min.insync.replicas=%d", insync),
	}
	for _, topic := range []string{"offsets.topic", "transaction.state.log", "share.coordinator.state.topic"} {
		lines = append(lines, fmt.Sprintf("%s.replication.factor=%d", topic, replicas))
		if topic != "offsets.topic" {
			lines = append(lines, fmt.Sprintf("%s.min.isr=%d", topic, insync))
		}
	}
	if c == nil {
		return lines
	}
	return append(lines,
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
		"sasl.enabled.mechanisms=SCRAM-SHA-512",
		"sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512",
		fmt.Sprintf("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=%q password=%q;", k.User, k.Password),
		"ssl.keystore.type=PEM", "ssl.keystore.location="+filepath.Join(home, "broker.pem"),
		"ssl.truststore.type=PEM", "ssl.truststore.location="+c.file)
}

func broker(t testing.TB, dir, home string, i int) *server {
	t.Helper()
	classpath, err := os.ReadFile(filepath.Join(dir, "classpath"))
	if err != nil {
		t.Fatal(err)
	}
	java := []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:SharedArchiveFile=" + filepath.Join(dir, "kafka.jsa"),
		"-Dlog4j2.configurationFile=file:" + filepath.Join(dir, "log4j2.properties"), "-cp", strings.TrimSpace(string(classpath))}
	return &server{name: fmt.Sprintf("kafka-%d", i+1), dir: home, stop: syscall.SIGKILL,
		args: append(java, "kafka.Kafka", filepath.Join(home, "server.properties"))}
}

// begin formats all brokers side by side, starts them, and waits until each knows all.
func (k *KafkaCluster) begin(t testing.TB) {
	t.Helper()
	var all sync.WaitGroup
	failed := make([]error, len(k.servers))
	for i, s := range k.servers {
		all.Go(func() { failed[i] = k.format(s) })
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, s := range k.servers {
			s.end(syscall.SIGKILL)
		}
		if t.Failed() {
			for _, s := range k.servers {
				t.Logf("%s says at the end: %s", s.name, s.said())
			}
		}
	})
	for i := range k.servers {
		k.Start(t, i)
	}
	for i := range k.servers {
		k.await(t, i, len(k.servers))
	}
}

func (k *KafkaCluster) format(s *server) error {
	args := append([]string{"-Xmx128m", "-XX:+UseSerialGC"}, s.args[3:len(s.args)-2]...)
	args = append(args, "kafka.tools.StorageTool", "format", "-t", "aG9sZGZhc3QtdGVzdC1rYQ", "-c", filepath.Join(s.dir, "server.properties"))
	if k.User != "" {
		args = append(args, "--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", k.User, k.Password))
	}
	if out, err := exec.Command("java", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("format %s: %w: %s", s.name, err, out)
	}
	return nil
}

// await waits until broker i knows that many brokers that live, and who leads them.
func (k *KafkaCluster) await(t testing.TB, i, want int) {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(k.Brokers[i]), Transport: k.transport}
	err := k.servers[i].await(func(ctx context.Context) error {
		m, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{}})
		if err != nil {
			return err
		}
		if len(m.Brokers) < want || m.Controller.Host == "" {
			return fmt.Errorf("%d of %d brokers are there", len(m.Brokers), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Client asks all brokers, with the name and the password where they are asked for.
func (k *KafkaCluster) Client() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(k.Brokers...), Transport: k.transport}
}

// TLS is what a client needs to trust the brokers; nil without TLS.
func (k *KafkaCluster) TLS(t testing.TB) *tls.Config { return trusting(t, k.CA) }

// Kill ends broker i (0 is the first) at once.
func (k *KafkaCluster) Kill(i int) { k.servers[i].end(syscall.SIGKILL) }

// Stop ends broker i as its operator would: it hands its partitions over before.
func (k *KafkaCluster) Stop(i int) { k.servers[i].end(syscall.SIGTERM) }

// Pause makes broker i hang, with the connections that it has.
func (k *KafkaCluster) Pause(i int) { k.servers[i].pause() }

// Resume ends Pause.
func (k *KafkaCluster) Resume(i int) { k.servers[i].signal(syscall.SIGCONT) }

// Start begins broker i and does not wait: one alone of three has nobody to agree with.
func (k *KafkaCluster) Start(t testing.TB, i int) {
	t.Helper()
	if err := k.servers[i].start(); err != nil {
		t.Fatal(err)
	}
}

// Restart ends broker i if it runs, starts it again, and waits until it answers. After a
// Kill that takes until its old session ends: three seconds and more.
func (k *KafkaCluster) Restart(t testing.TB, i int) {
	t.Helper()
	k.Stop(i)
	k.Start(t, i)
	k.await(t, i, 1)
}
