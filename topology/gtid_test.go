package topology

import "testing"

func TestTransactions(t *testing.T) {
	for _, tc := range []struct {
		a, b   string
		ab, ba bool // which covers which
	}{
		{"u:1-5", "u:1-5", true, true},
		{"u:1-5", "U:1-4", true, false},
		{"u:1-5,\nv:1-3", "u:1-5", true, false},
		{"u:1-5", "u:1-4,v:1", false, false},
		{"u:1-5:7-9", "u:2-3:8", true, false},
		{"u:1-5:7-9", "u:5-7", false, false},
		{"u:1-5:tag:1-3", "u:tag:2", true, false},
		{"u:1-5", "u:tag:2", false, false},
		{"u:1-3,w:2", "w:2,u:1-3", true, true},
		{"0-1-100,0-2-120", "0-1-100", true, false},
		{"0-1-100,0-2-120", "0-1-103", false, false},
		{"0-1-100,1-2-9", "1-2-9,0-1-100", true, true},
		{"0-2-7,0-1-100,0-2-9", "0-2-9", true, false},
		{",0-1-100", "0-1-100", true, true},
		{"", "", false, false},
		{"u:1-5", "", false, false},
		{"nonsense", "nonsense", false, false},
		{"u:x", "u:1", false, false},
		{"u:5-1", "u:5-1", false, false},
		{"1-2-x", "1-2-3", false, false},
	} {
		a, b := parseTransactions(tc.a), parseTransactions(tc.b)
		if ab, ba := a.covers(b), b.covers(a); ab != tc.ab || ba != tc.ba {
			t.Errorf("%q and %q: %t %t, want %t %t", tc.a, tc.b, ab, ba, tc.ab, tc.ba)
		}
	}
}
