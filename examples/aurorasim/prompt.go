package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// prompt carries out what is typed.
type prompt struct {
	cluster *aurorasim.Cluster
	options options
	out     io.Writer
	faults  map[string]*aurorasim.Fault // by what was typed
}

var errQuit = errors.New("quit")

var kinds = map[string]aurorasim.Kind{"kill": aurorasim.Kill, "switchover": aurorasim.Switchover, "frozen": aurorasim.Frozen}

const help = `  status                  roles, connections, statements
  kill | switchover | frozen [ID]   fail over, to ID if given
  refuse | blackhole | silent | full | freeze ID    a fault, until cleared
  reset | close ID        break its connections (RST, FIN)
  goodbye ID NUMBER       end its connections with an error, such as 1053
  delay ID DURATION       answer each statement later, until cleared
  lag ID DURATION         report that lag
  lose ID                 execute its next COMMIT and lose the answer
  clear                   end all faults
  quit`

// obey carries out one line.
func (p *prompt) obey(ctx context.Context, line string) error {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	if _, ok := kinds[words[0]]; ok {
		return p.failover(ctx, words[0], strings.Join(words[1:], ""))
	}
	switch words[0] {
	case "help":
		fmt.Fprintln(p.out, help)
		return nil
	case "status":
		p.status()
		return nil
	case "clear":
		for typed, f := range p.faults {
			f.Clear()
			delete(p.faults, typed)
		}
		return nil
	case "quit", "exit":
		return errQuit
	}
	if len(words) < 2 {
		return fmt.Errorf("%q: type \"help\" for what can be done", line)
	}
	i := p.cluster.Instance(words[1])
	if i == nil {
		return fmt.Errorf("no instance %q: want one of %s", words[1], strings.Join(p.ids(), ", "))
	}
	return p.harm(i, words[0], words[2:], line)
}

func (p *prompt) ids() (ids []string) {
	for _, i := range p.cluster.Instances() {
		ids = append(ids, i.ID)
	}
	return ids
}

// harm does something to one instance.
func (p *prompt) harm(i *aurorasim.Instance, what string, args []string, line string) error {
	lasting := map[string]func() *aurorasim.Fault{
		"refuse": i.Refuse, "blackhole": i.BlackHole, "silent": i.AcceptSilent, "full": i.TooManyConnections,
		"freeze": i.Freeze, "lose": i.SwallowCommitAnswer,
	}
	switch what {
	case "reset":
		i.ResetConnections()
	case "close":
		i.CloseConnections()
	case "goodbye":
		number, err := strconv.ParseUint(strings.Join(args, ""), 10, 16)
		if err != nil {
			return fmt.Errorf("goodbye %s: want an error number such as 1053", i.ID)
		}
		i.Goodbye(uint16(number), "Server shutdown in progress")
	case "delay", "lag":
		d, err := time.ParseDuration(strings.Join(args, ""))
		if err != nil {
			return fmt.Errorf("%s %s: want a duration such as 200ms", what, i.ID)
		}
		if what == "lag" {
			i.Lag(d)
			return nil
		}
		p.faults[line] = i.Delay(d, nil)
	default:
		f := lasting[what]
		if f == nil {
			return fmt.Errorf("%q: type \"help\" for what can be done", what)
		}
		p.faults[line] = f()
	}
	return nil
}

func (p *prompt) failover(ctx context.Context, kind, to string) error {
	if to != "" && !slices.Contains(p.ids(), to) {
		return fmt.Errorf("no instance %q: want one of %s", to, strings.Join(p.ids(), ", "))
	}
	return p.cluster.Failover(ctx, aurorasim.Failover{
		Kind: kinds[kind], To: to, PromoteAfter: p.options.outage, RestartAfter: p.options.restart,
	})
}

func (p *prompt) status() {
	for _, i := range p.cluster.Instances() {
		role := "reader"
		if i.Writer() {
			role = "writer"
		}
		state := "up"
		if !i.Up() {
			state = "down"
		}
		s := i.Stats()
		fmt.Fprintf(p.out, "  %-4s %-6s %-4s %s  %d connections, %d statements relayed, %d writes refused\n",
			i.ID, role, state, i.Addr(), s.Open, s.Sent, s.Refused)
	}
}
