package topology

import (
	"slices"
	"strconv"
	"strings"
)

// transactions is a set of transactions by their global ids: for each origin the
// numbers that are in it, as ranges that are as long as can be. Nil is a set that is not known.
type transactions map[string][]span

type span struct{ first, last uint64 }

// parseTransactions reads MySQL's gtid_executed (uuid:1-5:7,uuid:tag:1-3) or
// MariaDB's gtid_binlog_state and gtid_slave_pos (domain-server-number, the last one of each
// server in each domain, perhaps twice). What is neither, or nothing, is not known.
func parseTransactions(s string) transactions {
	t := make(transactions)
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if ok := strings.Contains(part, ":") && t.addMySQL(part) || t.addMariaDB(part); !ok {
			return nil
		}
	}
	if len(t) == 0 {
		return nil
	}
	return t
}

// addMySQL adds uuid[:tag]:range[:range…][:tag:range…].
func (t transactions) addMySQL(s string) bool {
	uuid, rest, _ := strings.Cut(s, ":")
	origin := strings.ToLower(strings.TrimSpace(uuid))
	for field := range strings.SplitSeq(rest, ":") {
		field = strings.TrimSpace(field)
		if field == "" {
			return false
		}
		if field[0] < '0' || field[0] > '9' {
			origin = strings.ToLower(strings.TrimSpace(uuid) + ":" + field) // a tag, which goes for what follows
			continue
		}
		from, to, isRange := strings.Cut(field, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 64)
		last, err2 := strconv.ParseUint(to, 10, 64)
		if err1 != nil || err2 != nil || first > last {
			return false
		}
		t[origin] = append(t[origin], span{first, last})
	}
	return true
}

// addMariaDB adds domain-server-number. Numbers of a server only grow, so that the
// last one stands for those before it.
func (t transactions) addMariaDB(s string) bool {
	i := strings.LastIndexByte(s, '-')
	if i < 0 || strings.Count(s, "-") != 2 {
		return false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 64)
	if err != nil {
		return false
	}
	t[s[:i]] = append(t[s[:i]], span{0, n})
	return true
}

// covers reports whether all of u is in t. Of what is not known it is not true.
func (t transactions) covers(u transactions) bool {
	if t == nil || u == nil {
		return false
	}
	for origin, spans := range u {
		for _, want := range spans {
			if !slices.ContainsFunc(t[origin], func(has span) bool { return has.first <= want.first && want.last <= has.last }) {
				return false
			}
		}
	}
	return true
}
