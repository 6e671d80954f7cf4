package crosscheck

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/pingcap/tidb/pkg/parser"
	"github.com/pingcap/tidb/pkg/parser/ast"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // values for the parser

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// acting are functions with effects, as the manuals of MySQL and MariaDB describe them.
var acting = map[string]bool{
	"get_lock": true, "release_lock": true, "release_all_locks": true, "sleep": true, "benchmark": true, "nextval": true,
	"setval": true, "master_pos_wait": true, "source_pos_wait": true, "f": true, "my_function": true,
}

// harm is what the second parser finds in a text that no plain read has; "" is nothing,
// and ok is false where it does not understand the text.
func harm(text string) (found string, ok bool) {
	// The parser's stand-in for decimals panics on numbers that are too long for it.
	defer func() {
		if recover() != nil {
			found, ok = "", false
		}
	}()
	statements, _, err := parser.New().Parse(text, "", "")
	if err != nil || len(statements) == 0 {
		return "", false
	}
	if len(statements) > 1 {
		for _, st := range statements {
			if h := harmOf(st); h != "" {
				return h, true
			}
		}
		return "several statements", true
	}
	return harmOf(statements[0]), true
}

func harmOf(st ast.StmtNode) string {
	switch st := st.(type) {
	case *ast.SelectStmt, *ast.SetOprStmt:
	case *ast.ShowStmt, *ast.ExplainForStmt, *ast.HelpStmt:
		return ""
	case *ast.ExplainStmt:
		if st.Analyze {
			return harmOf(st.Stmt)
		}
		return ""
	default:
		return "no query"
	}
	v := &visitor{}
	st.Accept(v)
	return v.found
}

// visitor looks through a query.
type visitor struct{ found string }

func (v *visitor) Enter(n ast.Node) (ast.Node, bool) {
	switch n := n.(type) {
	case *ast.SelectStmt:
		if n.LockInfo != nil && n.LockInfo.LockType != ast.SelectLockNone {
			v.found = "a lock"
		}
		if n.SelectIntoOpt != nil {
			v.found = "INTO"
		}
	case *ast.VariableExpr:
		if n.Value != nil {
			v.found = "an assignment"
		}
	case *ast.FuncCallExpr:
		if n.Schema.L != "" {
			v.found = "a function of a schema"
		}
		if acting[n.FnName.L] || n.FnName.L == "last_insert_id" && len(n.Args) > 0 {
			v.found = "a call of " + n.FnName.L
		}
	}
	return n, false
}

func (v *visitor) Leave(n ast.Node) (ast.Node, bool) { return n, true }

// check compares the two on one text.
func check(t *testing.T, text string) (agreed bool) {
	t.Helper()
	found, ok := harm(text)
	if ok && found != "" && sqlscan.Scan(text, sqlscan.AnyMode).Read() {
		t.Errorf("%q is called a read, but has %s", text, found)
	}
	return ok
}

func corpus(t testing.TB) (texts []string) {
	t.Helper()
	for _, name := range []string{"testdata/corpus.txt", "../testdata/statements.txt"} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			text, _, _ := strings.Cut(lines.Text(), " => ")
			if text != "" && !strings.HasPrefix(text, "# ") {
				texts = append(texts, text)
			}
		}
		f.Close()
	}
	return texts
}

func TestCorpus(t *testing.T) {
	understood := 0
	for _, text := range corpus(t) {
		if check(t, text) {
			understood++
		}
	}
	if understood < 120 {
		t.Errorf("the second parser understood only %d texts", understood)
	}
}

// TestUseful: plain reads are called so. Without this, calling everything a write would
// pass.
func TestUseful(t *testing.T) {
	reads := 0
	for _, text := range corpus(t) {
		if found, ok := harm(text); ok && found == "" && sqlscan.Scan(text, sqlscan.AnyMode).Read() {
			reads++
		}
	}
	if reads < 40 {
		t.Errorf("only %d reads", reads)
	}
}

// TestGlue checks every pair of pieces of the corpus, joined in the ways in which one can
// hide another.
func TestGlue(t *testing.T) {
	texts := corpus(t)
	for _, a := range texts {
		for _, b := range texts {
			check(t, a+"; "+b)
			check(t, "SELECT * FROM ("+a+") x, ("+b+") y")
			if t.Failed() {
				return
			}
		}
	}
}

func FuzzNeverRead(f *testing.F) {
	for _, text := range corpus(f) {
		f.Add(text, " ")
		f.Add("SELECT 1", text)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 500 {
			return
		}
		check(t, a+b)
		check(t, a+";"+b)
		check(t, "SELECT ("+a+") "+b)
	})
}
