package driver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// TestNoReaders: reads that are meant for readers where there are none that may answer, for
// reasons that nobody has meant. The writer answers, and the log says why, once; or the error does.
func TestNoReaders(t *testing.T) {
	const missed = "the writer answers what is meant for readers"
	for name, test := range map[string]struct {
		cluster  aurorasim.Config
		params   string
		spoil    func(r *rig)
		warnings int
		err      string // "" = the writer answers
	}{
		"a lag that is NULL": {
			spoil: func(r *rig) { r.lags(-1) }, warnings: 1,
		},
		"a lag that is NULL, never": {
			params: "&fpWriterIsReader=never", spoil: func(r *rig) { r.lags(-1) },
			err: "no usable instance within fpFailoverTimeout (no reader: instance-2 has no known lag, instance-3 has no known lag): not executed",
		},
		"a lag that is NULL, multiAZCluster": {
			cluster: aurorasim.Config{Deployment: aurorasim.MultiAZCluster}, spoil: func(r *rig) { r.lags(-1) }, warnings: 1,
		},
		"one lag is known": {
			spoil: func(r *rig) { r.lags(-1); r.sim.Instance("instance-3").Lag(time.Minute) },
		},
		"far behind, never": {
			params: "&fpWriterIsReader=never", spoil: func(r *rig) { r.lags(time.Minute) },
			err: "(no reader: instance-2 is 1m0s behind, instance-3 is 1m0s behind): not executed",
		},
		"an empty set": {cluster: aurorasim.Config{Instances: 1}},
		"an empty set, never": {
			cluster: aurorasim.Config{Instances: 1}, params: "&fpWriterIsReader=never", err: "(no reader: the cluster has none): not executed",
		},
		"all are down, never": {
			params: "&fpWriterIsReader=never", err: "(no reader: instance-2 is down, instance-3 is down): not executed",
			spoil: func(r *rig) {
				for _, in := range r.sim.Readers() {
					r.must(in.Crash(r.Context()))
					suspect(r.c, in.ID)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			bubbleOver(t, test.cluster, "fpTarget=auto&fpReadYourWrites=0&fpFailoverTimeout=3s"+test.params,
				[]Option{WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}, func(r *rig) {
					if test.spoil != nil {
						test.spoil(r)
						time.Sleep(20 * time.Second) // some polls
					}
					for range 30 {
						_, err := r.rows(r.Context(), r.db, selectOne)
						if test.err == "" {
							r.must(err)
							if got := r.instanceOf(selectOne); got != r.sim.Writer().ID {
								r.Fatalf("answered by %s", got)
							}
						} else {
							r.wants(err, failover.ErrGateTimeout, failover.NotExecuted)
							if err != nil && !strings.Contains(err.Error(), test.err) {
								r.Errorf("%v, want %s", err, test.err)
							}
							break
						}
						time.Sleep(time.Second)
					}
					r.must(r.exec(r.db, insert)) // is not concerned
					r.must(r.db.Close())
					if n := strings.Count(log.String(), missed); n != test.warnings {
						r.Errorf("%d warnings, want %d:\n%s", n, test.warnings, log.String())
					}
				})
		})
	}
}

// TestNoWriter: what a statement says that found no writer in time.
func TestNoWriter(t *testing.T) {
	bubble(t, "fpReadFallback=off&fpFailoverTimeout=3s", func(r *rig) {
		r.must(r.sim.Writer().Crash(r.Context()))
		err := r.exec(r.db, update)
		r.wants(err, failover.ErrGateTimeout, failover.NotExecuted)
		const want = "(no writer: epoch 2: instance-1 writer down, instance-2 reader up, instance-3 reader up)"
		if err == nil || !strings.Contains(err.Error(), want) {
			r.Errorf("%v, want %s", err, want)
		}
	})
}

// TestZeroWeights: where no reader is to get anything, all get as much. That nobody at all is to get
// anything is refused: see testdata/dsn_bad.json.
func TestZeroWeights(t *testing.T) {
	for _, weights := range []string{"instance-2:0,instance-3:0", "instance-1:1,*:0", "instance-1:1,*:0&fpReaderStrategy=weighted"} {
		t.Run(weights, func(t *testing.T) {
			bubble(t, "fpTarget=auto&fpReadYourWrites=0&fpReaderWeights="+weights, func(r *rig) {
				shares := r.reads(4, time.Second)
				if len(shares) != 2 || shares["instance-2"] < 0.4 || shares["instance-3"] < 0.4 {
					r.Errorf("%v", shares)
				}
			})
		})
	}
}
