package main

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"holdfast/cmd/internal/engineset"
	"holdfast/metrics"
)

const deployDir = "../../deploy"

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(deployDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// understood fails if the program does not know a command line, without running it.
func understood(t *testing.T, where string, args []string) {
	t.Helper()
	c := &cli{}
	cmd, rest, err := c.root().Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil && cmd.HasSubCommands() {
		err = usageError("%s is no command that does anything", cmd.CommandPath())
	}
	if err != nil {
		t.Errorf("%s: %q: %v", where, args, err)
	}
}

// TestDeployMetrics: the list in docs/scale.md is what the program shows, and the
// dashboard and the rules name nothing else.
func TestDeployMetrics(t *testing.T) {
	m := metrics.New(metrics.Options{})
	about := m.About()
	listed := map[string]string{}
	text := readDeploy(t, "../docs/scale.md")
	for _, l := range regexp.MustCompile("(?m)^\\| `(holdfast_[a-z_]+)[^`]*` \\| (.*) \\|$").FindAllStringSubmatch(text, -1) {
		listed[l[1]] = l[2]
	}
	if !maps.Equal(listed, about) {
		t.Errorf("docs/scale.md lists\n%v\nand the program shows\n%v", listed, about)
	}
	name := regexp.MustCompile(`holdfast_[a-z_]+`)
	for _, file := range []string{"grafana/holdfast.json", "prometheus/alerts.yml", "prometheus/alerts_test.yml"} {
		found := name.FindAllString(readDeploy(t, file), -1)
		if len(found) < 5 {
			t.Errorf("%s names %d metrics", file, len(found))
		}
		for _, f := range found {
			if about[f] == "" && about[strings.TrimSuffix(f, "_bucket")] == "" && f != "holdfast_" {
				t.Errorf("%s: %s is no metric", file, f)
			}
		}
	}
	var dashboard struct {
		Panels []struct{ Title string }
	}
	if err := json.Unmarshal([]byte(readDeploy(t, "grafana/holdfast.json")), &dashboard); err != nil || len(dashboard.Panels) < 10 {
		t.Errorf("dashboard: %d panels, %v", len(dashboard.Panels), err)
	}
}

// TestDeployCommands: each command line in the units, in compose and in the chart is one
// that the program knows.
func TestDeployCommands(t *testing.T) {
	units, err := filepath.Glob(filepath.Join(deployDir, "systemd", "*.service"))
	if err != nil || len(units) < 5 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	for _, u := range units {
		text := readDeploy(t, "systemd/"+filepath.Base(u))
		line := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/holdfast (.*)$`).FindStringSubmatch(text)
		if line == nil {
			t.Errorf("%s starts nothing", u)
			continue
		}
		if strings.Contains(text, "Restart=") && !strings.Contains(text, "\nRestartPreventExitStatus=2\n") {
			t.Errorf("%s is started for ever where there is no node", u)
		}
		for _, role := range []string{"normalise", "preserve", "index"} {
			args := strings.NewReplacer("%i", role, "${HOLDFAST_METRICS_PORT}", "9467", "$HOLDFAST_API_FLAGS", "--listen 127.0.0.1:8017").Replace(line[1])
			understood(t, u, strings.Fields(args))
		}
	}
	var compose struct {
		Services map[string]struct {
			Image   string
			Command []string
		}
	}
	if err := yaml.Unmarshal([]byte(readDeploy(t, "compose/compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	roles := 0
	for name, s := range compose.Services {
		if s.Image != "holdfast" {
			continue
		}
		if roles++; name == "init" {
			s.Command = strings.Fields(s.Command[0][strings.Index(s.Command[0], "holdfast ")+len("holdfast "):])
		}
		understood(t, "compose: "+name, s.Command)
	}
	if roles != 6 {
		t.Errorf("compose has %d services of holdfast", roles)
	}
	chart := readDeploy(t, "helm/holdfast/templates/statefulset.yaml")
	replace := strings.NewReplacer("{{ $role }}", "preserve", `":{{ get $ports $role }}"`, ":1", `":{{ get $ports "api" }}"`, ":1", `":8017"`, ":8017")
	for _, l := range regexp.MustCompile(`args: \[(node.*)\]`).FindAllStringSubmatch(chart, -1) {
		understood(t, "chart", strings.Split(replace.Replace(l[1]), ", "))
	}
	flags := []string{"init"}
	for _, l := range regexp.MustCompile(`(?m)^ +- .*?(--[a-z-]+)(=?)`).FindAllStringSubmatch(chart, -1) {
		flags = append(flags, l[1]+l[2]+strings.Repeat("x", len(l[2])))
	}
	if len(flags) < 7 {
		t.Errorf("chart: init has %q", flags)
	}
	understood(t, "chart", flags)
}

// TestDeployVariables: each variable that a file sets is one that the program reads.
func TestDeployVariables(t *testing.T) {
	name := regexp.MustCompile(`HOLDFAST_[A-Z0-9_]+`)
	read := map[string]bool{"HOLDFAST_METRICS_PORT": true, "HOLDFAST_API_FLAGS": true} // the units' own
	sources, _ := filepath.Glob("*.go")
	rooms, _ := filepath.Glob("../internal/*/*.go") // of the program
	for _, s := range append(sources, rooms...) {
		b, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(s, "_test.go") {
			continue
		}
		for _, l := range regexp.MustCompile(`[sS]ecretOf\("(\w+)"`).FindAllStringSubmatch(string(b), -1) {
			read[l[1]], read[l[1]+"_FILE"] = true, true
		}
		for _, l := range regexp.MustCompile(`Getenv\("(\w+)"`).FindAllStringSubmatch(string(b), -1) {
			read[l[1]] = true
		}
	}
	for _, v := range []string{"HOLDFAST_LONG", "HOLDFAST_JUDGES", "HOLDFAST_ENGINES", "HOLDFAST_VERSION"} {
		read[v] = true // the tests read the first three, and compose.yaml gives the last to the image's build
	}
	for _, e := range (&engineset.URLs{}).Flags() {
		read["HOLDFAST_"+strings.ToUpper(e.Name)] = true
	}
	seen := map[string]bool{}
	err := filepath.WalkDir(deployDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && slices.Contains([]string{"engines", "judges"}, d.Name()) {
				return fs.SkipDir
			}
			return err
		}
		if slices.Contains([]string{"release", "setup.sh", "build"}, d.Name()) {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, v := range name.FindAllString(string(b), -1) {
			if seen[v] = true; !read[v] {
				t.Errorf("%s: the program reads no %s", path, v)
			}
		}
		return err
	})
	if err != nil || len(seen) < 8 {
		t.Errorf("%d variables, %v", len(seen), err)
	}
}

// TestDeployPorts: what Prometheus asks is what answers.
func TestDeployPorts(t *testing.T) {
	served := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(deployDir, "systemd"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, p := range regexp.MustCompile(`(?:--metrics 127\.0\.0\.1:|METRICS_PORT=)(\d+)`).FindAllStringSubmatch(string(b), -1) {
			served["127.0.0.1:"+p[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, a := range regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(readDeploy(t, "prometheus/prometheus.yml"), -1) {
		asked[a] = true
	}
	if !maps.Equal(served, asked) {
		t.Errorf("served %v, asked %v", served, asked)
	}
}
