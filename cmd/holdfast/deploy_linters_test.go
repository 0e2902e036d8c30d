package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// linters are other people's programs that read a copy of deploy/. Each may run for five
// minutes; none needs a network.
type linters struct{ t *testing.T }

// find gives a linter's path: where ./test has put it, or else the machine's own. One that is
// not there fails under ./test, which installs all of them, and is said by name elsewhere.
func (l linters) find(name string) string {
	l.t.Helper()
	dir := os.Getenv("HOLDFAST_JUDGES")
	if dir != "" {
		if p := filepath.Join(dir, "bin", name); exists(p) {
			return p
		}
	}
	p, err := exec.LookPath(name)
	switch {
	case err == nil:
		return p
	case dir != "":
		l.t.Fatalf("%s is not there: deploy/judges/install and ./test install it", name)
	default:
		l.t.Skipf("%s is not there and judges nothing here; ./test installs it", name)
	}
	return ""
}

// run gives what the linter says, on both of its outputs, as an error if it ends with one.
func (l linters) run(stdin, name string, args ...string) (string, error) {
	l.t.Helper()
	ctx, stop := context.WithTimeout(l.t.Context(), 5*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, l.find(name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	// What this machine's user has set, for helm or compose, counts for nothing.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.t.TempDir(), "LC_ALL=C.UTF-8"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %q: %w\n%s%s", name, args, err, &out, &errs)
	}
	return out.String() + errs.String(), nil
}

// rules: Prometheus reads its two configurations, each beside the rules as it lies where
// it is installed, and runs the rules' own tests.
func (l linters) rules(dir string) error {
	rules := filepath.Join(dir, "prometheus")
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", rules + "/alerts.yml"}, {"test", "rules", rules + "/alerts_test.yml"}, {"check", "config", "--lint-fatal", rules + "/prometheus.yml"}} {
		if _, err := l.run("", "promtool", args...); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "compose/prometheus.yml"))
	if err == nil {
		err = os.WriteFile(rules+"/of-compose.yml", b, 0o644)
	}
	if err == nil {
		_, err = l.run("", "promtool", "check", "config", "--lint-fatal", rules+"/of-compose.yml")
	}
	return err
}

// units: systemd reads them beside the machine's own, and says how much they may do.
func (l linters) units(dir string) error {
	root := l.t.TempDir()
	system := filepath.Join(root, "etc/systemd/system")
	if err := os.CopyFS(system, os.DirFS(filepath.Join(dir, "systemd"))); err != nil {
		return err
	}
	for _, d := range []string{"/usr/lib/systemd/system", "/lib/systemd/system"} {
		if exists(d) {
			if err := os.CopyFS(filepath.Join(root, "usr/lib/systemd/system"), os.DirFS(d)); err != nil {
				l.t.Logf("the system's own units: %v", err)
			}
			break
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "usr/bin/holdfast"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		return err
	}
	verify := []string{"verify", "--root=" + root, "--man=no", "--recursive-errors=one"}
	for _, u := range []string{"holdfast-all.service", "holdfast-collect.service", "holdfast-api.service", "holdfast-watch.service", "holdfast-audit.service", "holdfast-audit.timer", "holdfast.target",
		"holdfast@normalise.service", "holdfast@preserve.service", "holdfast@index.service"} {
		verify = append(verify, "/etc/systemd/system/"+u)
	}
	said, err := l.run("", "systemd-analyze", verify...)
	if err == nil && strings.Contains(said, "holdfast") { // it ends well over an unknown key
		err = fmt.Errorf("systemd-analyze verify:\n%s", said)
	}
	if err != nil {
		return err
	}
	// The two with the weakest and the strongest confinement; threshold in tenths.
	for unit, most := range map[string]string{"holdfast@preserve.service": "20", "holdfast-api.service": "20", "holdfast-audit.service": "20", "holdfast-collect.service": "30", "holdfast-all.service": "30", "holdfast-watch.service": "30"} {
		if _, err := l.run("", "systemd-analyze", "security", "--offline=true", "--root="+root, "--threshold="+most, "--no-pager", unit); err != nil {
			return err
		}
	}
	return nil
}

// chart: helm reads it, and Kubernetes' own types what comes of it.
func (l linters) chart(dir string) error {
	chart := filepath.Join(dir, "helm/holdfast")
	example := filepath.Join(chart, "values.example.yaml")
	if _, err := l.run("", "helm", "lint", "--strict", "-f", example, chart); err != nil {
		return err
	}
	for _, more := range [][]string{nil, {"--set", "api.enabled=false,metrics.podMonitor=false,networkPolicy.enabled=false,volume.storageClass=ssd,node.sealKey=awskms:///k"}} {
		manifests, err := l.run("", "helm", append([]string{"template", "office", chart, "-f", example}, more...)...)
		if err != nil {
			return err
		}
		read, err := l.run(manifests, "kubestrict")
		if err != nil {
			return err
		}
		for _, want := range []string{"StatefulSet office\n", "Service office\n", "PodDisruptionBudget office\n", "PrometheusRule office\n"} {
			if !strings.Contains(read, want) {
				return fmt.Errorf("the chart gives no %sbut\n%s", want, read)
			}
		}
	}
	return nil
}

// refusals: what the chart has to refuse, each with its reason.
func (l linters) refusals(dir string) error {
	chart := filepath.Join(dir, "helm/holdfast")
	for set, want := range map[string]string{"store.id=": "several nodes share a store", "queue=": "give all three", "node.agent=": "stand in every bundle", "api.tlsSecret=": "speaks TLS alone"} {
		_, err := l.run("", "helm", "template", "office", chart, "-f", filepath.Join(chart, "values.example.yaml"), "--set", set)
		if err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("the chart with %s: %v; want a refusal with %q", set, err, want)
		}
	}
	return nil
}

// compose: docker compose's own loader reads the file; without secrets it says so.
func (l linters) compose(dir string) error {
	file, example := filepath.Join(dir, "compose/compose.yaml"), filepath.Join(dir, "compose/.env.example")
	if _, err := l.run("", "composestrict", file, example); err == nil || !strings.Contains(err.Error(), "write .env first") {
		return fmt.Errorf("compose without secrets: %v", err)
	}
	b, err := os.ReadFile(example)
	if err != nil {
		return err
	}
	env := filepath.Join(l.t.TempDir(), "env")
	secret := strings.NewReplacer("PG_PASSWORD=\n", "PG_PASSWORD=secret\n", "S3_SECRET_KEY=\n", "S3_SECRET_KEY=secret\n")
	if err := os.WriteFile(env, []byte(secret.Replace(string(b))), 0o600); err != nil {
		return err
	}
	_, err = l.run("", "composestrict", file, env)
	return err
}

// TestDeployLinters: the linters find nothing in deploy/, and find what is then broken in a
// copy of it; so none of them passes because it looked at nothing.
func TestDeployLinters(t *testing.T) {
	type broken struct{ file, old, new string }
	for name, c := range map[string]struct {
		judge  func(linters, string) error
		breaks []broken
	}{
		"rules": {linters.rules, []broken{
			{"prometheus/alerts.yml", "holdfast_engine_up == 0", "holdfast_engine_up == "},
			{"prometheus/alerts.yml", "holdfast_engine_up == 0", "holdfast_engine_up == 1"},
			{"prometheus/alerts.yml", "{{ $labels.engine }}", "{{ $labels.engin }}"},
			{"prometheus/prometheus.yml", "alerts.yml", "alarms.yml"},
			{"compose/prometheus.yml", "scrape_interval: 15s", "scrape_interval: 15"},
		}},
		"units": {linters.units, []broken{
			{"systemd/holdfast@.service", "EnvironmentFile=", "EnvironmentFiles="},
			{"systemd/holdfast-audit.timer", "OnCalendar=daily", "OnCalendar=dayly"},
			{"systemd/holdfast-collect.service", "/usr/bin/holdfast", "/usr/bin/holdfest"},
			{"systemd/holdfast-api.service", "CapabilityBoundingSet=\n", ""},
		}},
		"chart": {linters.chart, []broken{
			{"helm/holdfast/templates/statefulset.yaml", "serviceName:", "servicename:"},
			{"helm/holdfast/templates/statefulset.yaml", "containerPort: 8017", "containerPort: x"},
			{"helm/holdfast/templates/statefulset.yaml", "{{- end }}", "{{- ende }}"},
			{"helm/holdfast/templates/statefulset.yaml", "{name: shm, emptyDir", "{name: sh, emptyDir"},
			{"helm/holdfast/templates/service.yaml", "targetPort: api", "targetPort: door"},
			{"helm/holdfast/templates/monitor.yaml", "jobLabel:", "joblabel:"},
			{"helm/holdfast/Chart.yaml", "version: 0.1.0", "version: new"},
			{"helm/holdfast/values.yaml", "size: 20Gi", "size: 20Gigabytes"},
		}},
		"refusals": {linters.refusals, []broken{
			{"helm/holdfast/templates/statefulset.yaml", "(gt (int .Values.replicas) 1)", "(gt (int .Values.replicas) 2)"},
		}},
		"compose": {linters.compose, []broken{
			{"compose/compose.yaml", "depends_on:", "dependson:"},
			{"compose/compose.yaml", "bucket: {condition", "buckets: {condition"},
			{"compose/compose.yaml", "Dockerfile.minio", "Dockerfile.mini"},
			{"compose/compose.yaml", "kafka2:/var/lib", "kafka4:/var/lib"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDeploy(t)
			if err := c.judge(linters{t}, dir); err != nil {
				t.Fatal(err)
			}
			for _, b := range c.breaks {
				if err := c.judge(linters{t}, breakDeploy(t, b.file, b.old, b.new)); err == nil {
					t.Errorf("%s: nobody notices %q in place of %q", b.file, b.new, b.old)
				}
			}
		})
	}
}

// copyDeploy copies what operators get, out of reach of the sources.
func copyDeploy(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "repository", "deploy")
	for _, d := range []string{"compose", "helm", "prometheus", "systemd"} {
		if out, err := exec.CommandContext(t.Context(), "cp", "-rL", filepath.Join(deployDir, d), mustMkdir(t, to)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return to
}

func mustMkdir(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// breakDeploy replaces the first occurrence in a copy.
func breakDeploy(t *testing.T, file, old, with string) string {
	t.Helper()
	dir := copyDeploy(t)
	path := filepath.Join(dir, file)
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), old) {
		t.Fatalf("%s has no %q (%v)", file, old, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), old, with, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
