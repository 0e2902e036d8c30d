package export

import (
	"strconv"
	"strings"

	"holdfast"
)

// Fixed places of a Bundle (docs/bundle.md, section 11).
const (
	pathReadMe      = holdfast.ReadMe
	pathVerify      = "verify.sh"
	pathBagIt       = "bagit.txt"
	pathBagInfo     = "bag-info.txt"
	pathManifest    = "manifest-sha256.txt"
	pathTagManifest = "tagmanifest-sha256.txt"
	pathExport      = "data/export.dsse.json"
	pathCustody     = "data/custody.jsonl"
	pathTrustedRoot = "data/trust/trusted_root.json"
	dirExhibits     = "data/exhibits/"
	dirSeals        = "data/seals/"
	dirLogs         = "data/tlog/"
	dirNodes        = "data/trust/nodes/"
	dirCerts        = "data/trust/certs/"
)

// maxPath is the longest name of a file in bytes.
const maxPath = 512

// validPath is the rule for names of files in a Bundle.
func validPath(s string) bool {
	if s == pathReadMe {
		return true
	}
	if s == "" || len(s) > maxPath {
		return false
	}
	for seg := range strings.SplitSeq(s, "/") {
		if seg == "" || seg == "." || seg == ".." || seg[0] == '-' || strings.Trim(seg, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			return false
		}
	}
	return true
}

// exhibitNumber is `7`, or `2-7` where several Cases are in one Bundle.
func exhibitNumber(place, cases int, n string) string {
	if cases == 1 {
		return n
	}
	return strconv.Itoa(place+1) + "-" + n
}

// validNumber accepts a decimal from 1 without leading zeros.
func validNumber(s string) bool {
	return s != "" && len(s) <= 9 && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}
