package doctor

import (
	"strings"
	"testing"
)

// A node in memory or on a network's disk is told.
func TestUnlasting(t *testing.T) {
	for kind, want := range map[int64]string{0xef53: "", 0x58465342: "", 0x9123683e: "", 0x01021994: "memory", 0x6969: "network", 0xff534d42: "network", 0x794c7630: "container", 0x65735546: "FUSE"} {
		if got := unlasting(kind); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%#x: %q, want %q", kind, got, want)
		}
	}
	if kind, free, total, err := fileSystem(t.TempDir()); err != nil || free > total {
		t.Errorf("%#x %d %d %v", kind, free, total, err)
	}
	if unlasting(-0xacb2be) != unlasting(0xff534d42) { // statfs of CIFS on a machine that sign-extends
		t.Error("a negative kind is another one")
	}
}
