package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What waits is served by priority, and within a priority in turn by fairness key. The order holds within a partition of
// a task queue, so there is one: spreading a queue over several is for clusters of matching hosts.
const partitions = 1

// Polling limits protect a shared cluster. Here they would only delay every hop of a workflow by up to 50 ms.
const pollRPS = 2000

var dynamicConfig = dynamicconfig.StaticClient{
	dynamicconfig.TransferProcessorMaxPollRPS.Key():             pollRPS,
	dynamicconfig.TimerProcessorMaxPollRPS.Key():                pollRPS,
	dynamicconfig.VisibilityProcessorMaxPollRPS.Key():           pollRPS,
	dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
	dynamicconfig.MatchingUseNewMatcher.Key():                   true, // priorities; the server's default
	dynamicconfig.MatchingEnableFairness.Key():                  true,
	dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():      partitions,
	dynamicconfig.MatchingNumTaskqueueWritePartitions.Key():     partitions,
}

// startServer starts frontend, history, matching and the system worker in this process. Who is where is said up
// front, so there is no gossip between them and nothing of an earlier run to forget.
func startServer(ctx context.Context, db database, address string) (temporal.Server, error) {
	listen := map[primitives.ServiceName]string{primitives.FrontendService: address}
	internal := []primitives.ServiceName{primitives.HistoryService, primitives.MatchingService, primitives.WorkerService}
	free, err := freeAddresses(len(internal))
	if err != nil {
		return nil, err
	}
	for i, service := range internal {
		listen[service] = free[i]
	}
	services := make(map[string]config.Service)
	hosts := make(map[primitives.ServiceName]static.Hosts)
	for service, hostPort := range listen {
		host, port, err := splitAddress(hostPort)
		if err != nil {
			return nil, err
		}
		services[string(service)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: host}}
		hosts[service] = static.SingleLocalHost(hostPort)
	}

	const clusterName = "active"
	cfg := &config.Config{
		Services: services,
		Persistence: config.Persistence{
			DefaultStore:     storeDatabase,
			VisibilityStore:  visibilityDatabase,
			NumHistoryShards: 4,
			DataStores: map[string]config.DataStore{
				storeDatabase:      {SQL: db.sql(storeDatabase, 20)},
				visibilityDatabase: {SQL: db.sql(visibilityDatabase, 8)},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
		PublicClient: config.PublicClient{HostPort: address},
	}
	server, err := temporal.NewServer(
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithConfig(cfg),
		temporal.WithStaticHosts(hosts),
		temporal.WithDynamicConfigClient(dynamicConfig),
		temporal.WithLogger(log.NewZapLogger(log.BuildZapLogger(log.Config{Level: "error"}).WithOptions(zap.AddStacktrace(zap.FatalLevel)))),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
	)
	if err != nil {
		return nil, fmt.Errorf("configuring the Temporal server: %w", err)
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("starting the Temporal server: %w", err)
	}
	return server, nil
}

func registerNamespace(ctx context.Context, address, namespace string, retention time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var c client.NamespaceClient
	var err error
	for {
		c, err = client.NewNamespaceClient(client.Options{HostPort: address, Logger: silent{}})
		if err == nil {
			err = c.Register(ctx, &workflowservice.RegisterNamespaceRequest{
				Namespace:                        namespace,
				WorkflowExecutionRetentionPeriod: durationpb.New(retention),
			})
			c.Close()
			var exists *serviceerror.NamespaceAlreadyExists
			if err == nil || errors.As(err, &exists) {
				return nil
			}
		}
		select { // the frontend listens a moment before it answers
		case <-ctx.Done():
			return fmt.Errorf("registering namespace %s: %w", namespace, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func startUI(uiAddress, temporalAddress, namespace string) (*uiserver.Server, error) {
	host, port, err := splitAddress(uiAddress)
	if err != nil {
		return nil, err
	}
	cfg := &uiconfig.Config{
		TemporalGRPCAddress: temporalAddress,
		Host:                host,
		Port:                port,
		EnableUI:            true,
		DefaultNamespace:    namespace,
		DisableNewsFetch:    true,
		HideLogs:            true,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP on loopback
	}
	ui := uiserver.NewServer(server_options.WithConfigProvider(cfg))
	go func() {
		if err := ui.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "kontoflow-devserver: Temporal UI:", err)
		}
	}()
	return ui, nil
}

// freeAddresses are n different loopback addresses that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer l.Close() // when all are found
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

func splitAddress(address string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(p)
	}
	if err != nil {
		return "", 0, fmt.Errorf("address %q is not host:port: %w", address, err)
	}
	return host, port, nil
}

// silent keeps the SDK's own log lines out of a start that succeeds; errors are returned anyway.
type silent struct{}

var _ sdklog.Logger = silent{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
