// Command native-go is a controller that watches Secrets and GitRepos, with the optimisations of the literature as
// switches: what of Secrets it keeps in memory, whether it strips what it keeps, how it finds the GitRepos that use a
// Secret, and how many workers it has. It reads only. It is what a Go controller written with controller-runtime costs,
// measured by the harness as any other subject.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const program = "native-go"

// Exit codes: 0 told to stop, 1 cannot start or work, 2 a wrong switch.
func main() {
	options, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fail(2, fmt.Errorf("%w; --help lists the switches", err))
	}
	ctrl.SetLogger(klog.NewKlogr())
	if err := run(ctrl.SetupSignalHandler(), options); err != nil {
		fail(1, err)
	}
	klog.Info("stopped")
}

func fail(code int, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	os.Exit(code)
}

func run(ctx context.Context, options options) error {
	config, err := clientcmd.BuildConfigFromFlags("", options.kubeconfig)
	if err != nil {
		return fmt.Errorf("%s cannot be used: %w", options.kubeconfig, err)
	}
	config.UserAgent = program
	config.QPS = -1 // the API server's own flow control decides, as in controller-runtime's defaults since 0.21
	manager, err := newManager(config, options)
	if err != nil {
		return err
	}
	klog.Infof("talking to %s; %s", config.Host, options)
	return manager.Start(ctx)
}
