package confined

import (
	"os"
	"strconv"
	"strings"
)

// Memory is what a process takes that is no file's, in bytes; 0 if that is not known (Linux
// alone tells it, and of a process that is over nobody does).
func Memory(pid int) (sum int64) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(l, ":"); name == "RssAnon" || name == "RssShmem" {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			sum += kb << 10
		}
	}
	return sum
}
