package activities_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/activities"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// Workflows call activities by the names of the contract. Each of them is a method that takes and returns what the
// contract says, and there are no others.
func TestActivitiesKeepTheContract(t *testing.T) {
	t.Parallel()
	methods := reflect.TypeFor[*activities.Activities]()
	names := map[string]bool{}
	for _, check := range []func(*testing.T, reflect.Type) string{
		keeps(contract.Connect), keeps(contract.Answer), keeps(contract.Restart), keeps(contract.AwaitConfirmation),
		keeps(contract.ReadAccounts), keeps(contract.ReadTransactions), keeps(contract.Finish), keeps(contract.UpgradeAccess),
		keeps(contract.StartDue), keeps(contract.TendConsents), keeps(contract.Revoke),
	} {
		names[check(t, methods)] = true
	}
	for i := range methods.NumMethod() {
		require.True(t, names[methods.Method(i).Name], "%s is not in the contract", methods.Method(i).Name)
	}
}

// keeps checks the method of an activity's name.
func keeps[In, Out any](activity contract.Activity[In, Out]) func(*testing.T, reflect.Type) string {
	return func(t *testing.T, methods reflect.Type) string {
		t.Helper()
		method, there := methods.MethodByName(string(activity))
		require.True(t, there, activity)
		none := reflect.TypeFor[contract.None]()
		takes := []reflect.Type{methods, reflect.TypeFor[context.Context]()}
		if in := reflect.TypeFor[In](); in != none {
			takes = append(takes, in)
		}
		var returns []reflect.Type
		if out := reflect.TypeFor[Out](); out != none {
			returns = append(returns, out)
		}
		returns = append(returns, reflect.TypeFor[error]())
		require.Equal(t, reflect.FuncOf(takes, returns, false), method.Type, activity)
		return string(activity)
	}
}
