package failover_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/failover"
)

func Example() {
	// What an application gets when the answer to its INSERT was lost.
	err := fmt.Errorf("saving the order: %w", failover.New(failover.ErrOutcomeUnknown, failover.Unknown, mysql.ErrInvalidConn))

	if errors.Is(err, failover.ErrOutcomeUnknown) {
		fmt.Println("look whether the order is there")
	}
	if fe, ok := errors.AsType[*failover.Error](err); ok {
		fmt.Println("outcome:", fe.Outcome)
	}
	// Output:
	// look whether the order is there
	// outcome: unknown
}

func ExampleClassify() {
	shutdown := &mysql.MySQLError{Number: 1053}
	readOnly := &mysql.MySQLError{Number: 1290}
	for _, err := range []error{shutdown, readOnly, mysql.ErrInvalidConn} {
		v := failover.Classify(context.Background(), err, failover.PhaseSent)
		fmt.Println(v.Class, "-", v.Outcome)
	}
	// Output:
	// goodbye - unknown
	// refused - not executed
	// lost - unknown
}
