package worker

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/workflows/contract"
)

// RegisterSearchAttributes makes contract.SearchAttributes known in the namespace, and returns when the server lists
// all of them. Those that exist already are left alone. It needs an operator's rights in the namespace.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	for {
		missing, err := missingSearchAttributes(ctx, c, namespace)
		if err != nil {
			return fmt.Errorf("listing search attributes of namespace %s: %w", namespace, err)
		}
		if len(missing) == 0 {
			return nil
		}
		_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace:        namespace,
			SearchAttributes: missing,
		})
		if err != nil {
			return fmt.Errorf("registering search attributes in namespace %s: %w", namespace, err)
		}
		select { // servers cache the list
		case <-ctx.Done():
			return fmt.Errorf("waiting for search attributes of namespace %s: %w", namespace, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func missingSearchAttributes(ctx context.Context, c client.Client, namespace string) (map[string]enumspb.IndexedValueType, error) {
	listed, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, err
	}
	missing := make(map[string]enumspb.IndexedValueType)
	for _, key := range contract.SearchAttributes {
		if _, ok := listed.CustomAttributes[key.GetName()]; !ok {
			missing[key.GetName()] = key.GetValueType()
		}
	}
	return missing, nil
}
