package driver

import (
	"slices"
	"strings"
	"time"
)

// keys are all parameters of ours, in the order in which FormatDSN writes them:
// name, form, default of this version, field.
//
// A version that brings a feature edits this table and nothing else here: it
// widens or drops the entry's notYet, only or numbers, and sets the default. The
// comment behind an entry is the default that the design foresees, where it
// differs from what this version does.
var keys = []key{
	newKey("fpTopology", enum("auto", "aurora", "multiAZCluster", "replication", "groupReplication", "dns", "static"),
		"auto", func(c *Config) *string { return &c.Topology }),
	newKey("fpInstanceHost", pattern(), "", func(c *Config) *string { return &c.InstanceHost }),

	newKey("fpTarget", enum("writer", "reader", "auto"),
		"writer", func(c *Config) *string { return &c.Target }),
	newKey("fpReaderStrategy", enum("leastLoaded", "roundRobin", "random", "weighted"),
		"leastLoaded", func(c *Config) *string { return &c.ReaderStrategy }),
	newKey("fpReaderWeights", weights(), nil, func(c *Config) *map[string]int { return &c.ReaderWeights }),
	newKey("fpWriterIsReader", enum("always", "never", "onlyIfNoReader"),
		"onlyIfNoReader", func(c *Config) *string { return &c.WriterIsReader }),
	newKey("fpMaxReplicaLag", duration(0), time.Second, func(c *Config) *time.Duration { return &c.MaxReplicaLag }),
	newKey("fpReadYourWrites", duration(0), 250*time.Millisecond, func(c *Config) *time.Duration { return &c.ReadYourWrites }),
	newKey("fpReadFallback", onOff(), true, func(c *Config) *bool { return &c.ReadFallback }),
	newKey("fpReaderLatencyWindow", duration(0), 0, func(c *Config) *time.Duration { return &c.ReaderLatencyWindow }),

	newKey("fpPoolSize", size(1, maxConnections, 1), 25, func(c *Config) *Size { return &c.PoolSize }),
	newKey("fpPoolMinIdle", size(0, maxConnections, 0), 0, func(c *Config) *Size { return &c.PoolMinIdle }),
	newKey("fpPoolMaxIdle", size(0, maxConnections, 0), Percent(100), func(c *Config) *Size { return &c.PoolMaxIdle }),
	newKey("fpPoolIdleTimeout", duration(0), 5*time.Minute, func(c *Config) *time.Duration { return &c.PoolIdleTimeout }),
	newKey("fpPoolMaxLifetime", duration(0), 30*time.Minute, func(c *Config) *time.Duration { return &c.PoolMaxLifetime }),
	newKey("fpPoolMode", enum("transaction", "session"),
		"transaction", func(c *Config) *string { return &c.PoolMode }),
	newKey("fpPinFilter", enum("excludeVariableSets"), "", func(c *Config) *string { return &c.PinFilter }),
	newKey("fpSessionReset", onOff(), false, func(c *Config) *bool { return &c.SessionReset }),
	newKey("fpBorrowTimeout", duration(0), 30*time.Second, func(c *Config) *time.Duration { return &c.BorrowTimeout }),
	newKey("fpConnectConcurrency", number(1, maxConnections), 10, func(c *Config) *int { return &c.ConnectConcurrency }),
	newKey("fpInitQuery", text(), "", func(c *Config) *string { return &c.InitQuery }),
	newKey("fpPreparedCache", number(0, 1_000_000), 256, func(c *Config) *int { return &c.PreparedCache }),
	newKey("fpFleetMax", size(0, 0, 1), 0, func(c *Config) *Size { return &c.FleetMax }),
	newKey("fpFleetSize", autoOr(number(1, 1_000_000)), 0, func(c *Config) *int { return &c.FleetSize }),

	newKey("fpFailoverTimeout", duration(0), 30*time.Second, func(c *Config) *time.Duration { return &c.FailoverTimeout }),
	newKey("fpGateSize", number(0, 1_000_000_000), 10_000, func(c *Config) *int { return &c.GateSize }),
	newKey("fpProbeInterval", durationOrOff(time.Millisecond), 5*time.Second, func(c *Config) *time.Duration { return &c.ProbeInterval }),
	newKey("fpProbeIntervalFast", duration(time.Millisecond), 100*time.Millisecond, func(c *Config) *time.Duration { return &c.ProbeIntervalFast }),
	newKey("fpProbeTimeout", duration(time.Millisecond), time.Second, func(c *Config) *time.Duration { return &c.ProbeTimeout }),
	newKey("fpStallTimeout", duration(0), 2*time.Second, func(c *Config) *time.Duration { return &c.StallTimeout }),
	newKey("fpRetryReads", onOff(), true, func(c *Config) *bool { return &c.RetryReads }),
	newKey("fpResume", enum("off", "verify"), "off", func(c *Config) *string { return &c.Resume }).notYet(),
	newKey("fpTxReplay", enum("off", "verify"), "off", func(c *Config) *string { return &c.TxReplay }).notYet(),
	newKey("fpTxReplayMaxBytes", byteCount(), 1<<20, func(c *Config) *int64 { return &c.TxReplayMaxBytes }).notYet(),
	newKey("fpCommitOutcome", tableName(), "", func(c *Config) *string { return &c.CommitOutcome }).notYet(),
	newKey("fpCancelQuery", onOff(), true, func(c *Config) *bool { return &c.CancelQuery }),
	newKey("fpTLSCA", text(), "", func(c *Config) *string { return &c.TLSCA }),
}

// maxConnections is the largest value of MySQL's max_connections.
const maxConnections = 100_000

// keyByName finds the entries of keys.
var keyByName = func() map[string]*key {
	m := make(map[string]*key, len(keys))
	for i := range keys {
		m[keys[i].name] = &keys[i]
	}
	return m
}()

// key is one parameter of ours, bound to its field of Config.
type key struct {
	name string
	want string // the accepted form, to follow "want"
	def  string // the default's text
	// enum lists the values if only certain words are accepted.
	enum []string

	reset func(c *Config)                // sets the field to its default
	set   func(c *Config, s string) bool // sets the field from text; false if s has not the form
	get   func(c *Config) string         // the field's text, as FormatDSN writes it
	valid func(c *Config) bool           // reports whether the field is in range

	// supports reports whether this version does what a value's text asks for; nil
	// supports everything. offers says what there is instead.
	supports func(s string) bool
	offers   string
}

// newKey binds a form to a field.
func newKey[T any](name string, f form[T], def T, field func(*Config) *T) key {
	k := key{name: name, want: f.want, def: f.format(def), enum: f.words}
	k.reset = func(c *Config) { *field(c) = def }
	k.get = func(c *Config) string { return f.format(*field(c)) }
	k.valid = func(c *Config) bool { return f.valid == nil || k.get(c) == k.def || f.valid(*field(c)) }
	k.set = func(c *Config, s string) bool {
		if s == "" && k.def == "" {
			k.reset(c)
			return true
		}
		v, ok := f.parse(s)
		if ok {
			*field(c) = v
		}
		return ok && k.valid(c)
	}
	return k
}

// only marks all values but those with the given texts as not supported yet.
func (k key) only(texts ...string) key {
	k.supports = func(s string) bool { return slices.Contains(texts, s) }
	k.offers = "this version has only " + orList(texts)
	return k
}

// notYet marks all values but the default as not supported yet.
func (k key) notYet() key {
	k = k.only(k.def)
	if k.def == "" {
		k.offers = "this version has none, leave it out"
	}
	return k
}

// parse sets the field from the text of a DSN.
func (k *key) parse(c *Config, s string) error {
	if !k.set(c, s) {
		return k.malformed(s)
	}
	return nil
}

// check refuses a field out of range, and what this version cannot do. A field
// without a value gets its default.
func (k *key) check(c *Config) error {
	s := k.get(c)
	switch {
	case s == "":
		k.reset(c)
	case !k.valid(c):
		return k.malformed(s)
	case k.supports != nil && !k.supports(s):
		return &dsnError{key: k.name, given: s, problem: "not supported yet: " + k.offers}
	}
	return nil
}

func (k *key) malformed(given string) error {
	e := &dsnError{key: k.name, given: given, problem: "want " + k.want}
	if k.offers != "" {
		e.problem += " (" + k.offers + ")"
	}
	if len(k.enum) > 1 && given != "" {
		e.problem += "; did you mean " + nearest(given, k.enum) + "?"
	}
	return e
}

// conflict refuses fields that are valid one by one and make no sense together.
func (c *Config) conflict() error {
	pool := func(s Size) int { return s.Of(c.PoolSize.Of(maxConnections)) }
	switch {
	case c.ProbeInterval == 0 && (c.Target == forReader || c.Target == forAuto):
		return c.clash("fpProbeInterval", "makes no sense with", "fpTarget", "readers' lag is not known without polls")
	case c.ProbeInterval == 0 && c.ReaderLatencyWindow > 0:
		return c.clash("fpProbeInterval", "makes no sense with", "fpReaderLatencyWindow", "round trips are measured as often as the cluster is asked")
	case c.ProbeIntervalFast > c.ProbeInterval && c.ProbeInterval > 0:
		return c.clash("fpProbeIntervalFast", "is longer than", "fpProbeInterval", "the pause while an instance is suspect must be the shorter one")
	case c.FailoverTimeout > 0 && c.ProbeTimeout > c.FailoverTimeout:
		return c.clash("fpProbeTimeout", "is longer than", "fpFailoverTimeout", "statements would give up before one probe has")
	case c.StallTimeout > 0 && c.StallTimeout < c.ProbeTimeout:
		return c.clash("fpStallTimeout", "is shorter than", "fpProbeTimeout", "the next silence would be noticed before the probe of the last one has ended")
	case c.FailoverTimeout > 0 && c.ProbeIntervalFast > c.FailoverTimeout:
		return c.clash("fpProbeIntervalFast", "is longer than", "fpFailoverTimeout", "statements would give up before anybody has looked for a writer twice")
	case pool(c.PoolMinIdle) > pool(Percent(100)):
		return c.clash("fpPoolMinIdle", "is over", "fpPoolSize", "a pool cannot keep more than it holds")
	case pool(c.PoolMaxIdle) > pool(Percent(100)):
		return c.clash("fpPoolMaxIdle", "is over", "fpPoolSize", "a pool cannot keep more than it holds")
	case pool(c.PoolMinIdle) > pool(c.PoolMaxIdle):
		return c.clash("fpPoolMinIdle", "is over", "fpPoolMaxIdle", "a pool cannot keep both")
	case (c.ReaderStrategy == "random" || c.ReaderStrategy == "roundRobin") && !c.evenhanded():
		return c.clash("fpReaderWeights", "has no use with", "fpReaderStrategy", "it treats all readers alike but those of weight 0: want weighted or leastLoaded")
	case c.Target == forAuto && c.PoolMode == "session":
		return c.clash("fpTarget", "makes no sense with", "fpPoolMode", "a session would keep the instance of its first statement")
	case c.Topology == "dns" && len(c.Hosts) > 1:
		return &dsnError{problem: "fpTopology is dns, which wants one host, whose name leads to the writer", detail: strings.Join(c.Hosts, ", ")}
	case c.FleetSize > 0 && c.FleetMax == 0:
		return c.clash("fpFleetSize", "has no use without", "fpFleetMax", "there is nothing to share: give a percentage such as fpFleetMax=60%")
	case c.InstanceHost != "" && (c.Topology == "static" || c.Topology == "replication" || c.Topology == "groupReplication" || c.Topology == "dns"):
		return c.clash("fpInstanceHost", "has no use with", "fpTopology", "this topology makes no host names of ids")
	}
	return nil
}

// clash names both keys, what they are, and which of that is a default that the
// DSN did not mention.
func (c *Config) clash(name, verb, other, why string) error {
	is := func(name string) string {
		k := keyByName[name]
		s := k.get(c)
		if s == k.def {
			return name + " is " + s + " (the default)"
		}
		return name + " is " + s
	}
	return &dsnError{problem: name + " " + verb + " " + other + ", " + why, detail: is(name) + ", " + is(other)}
}
