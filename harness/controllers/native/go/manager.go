package main

import (
	"fmt"
	"net/http"
	"net/http/pprof"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// newManager puts caches, controllers and the HTTP server together.
func newManager(config *rest.Config, options options) (manager.Manager, error) {
	types := runtime.NewScheme()
	if err := scheme.AddToScheme(types); err != nil {
		return nil, err
	}
	addGitRepos(types)
	kept := cache.Options{}
	if options.transform.value == transformStrip {
		kept.DefaultTransform = strip
	}
	if options.cache.value == cacheSelector {
		secrets := cache.ByObject{Label: options.selector, Field: options.fields}
		for _, name := range options.namespaces {
			if secrets.Namespaces == nil {
				secrets.Namespaces = map[string]cache.Config{}
			}
			secrets.Namespaces[name] = cache.Config{}
		}
		kept.ByObject = map[client.Object]cache.ByObject{&corev1.Secret{}: secrets}
	}
	var read client.Options
	if options.disableFor.value == disableSecret {
		read.Cache = &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}
	}
	made, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 types,
		Cache:                  kept,
		Client:                 read,
		HealthProbeBindAddress: "0", // the metrics server answers /healthz and /readyz
		Metrics:                server.Options{BindAddress: options.metrics},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot begin: %w", err)
	}
	if err := serve(made, options); err != nil {
		return nil, err
	}
	return made, addControllers(made, options)
}

// watched are the kinds with a cache of their own from the start.
func watched(options options) []client.Object {
	switch {
	case !options.watches():
		return []client.Object{&GitRepo{}}
	case options.cache.value == cacheMetadata:
		secret := &metav1.PartialObjectMetadata{}
		secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		return []client.Object{&GitRepo{}, secret}
	default:
		return []client.Object{&GitRepo{}, &corev1.Secret{}}
	}
}

// strip drops what a controller keeps without ever looking at it. Objects come here before they enter the cache.
func strip(in any) (any, error) {
	object, err := meta.Accessor(in)
	if err != nil {
		return in, nil // a tombstone
	}
	if object.GetManagedFields() != nil {
		object.SetManagedFields(nil)
	}
	object.SetAnnotations(without(object.GetAnnotations(), lastApplied))
	if secret, is := in.(*corev1.Secret); is {
		secret.Data, secret.StringData = nil, nil
	}
	return in, nil
}

// serve adds to /metrics on the same address: health, readiness, and what Go tells of itself.
func serve(made manager.Manager, options options) error {
	handlers := map[string]http.HandlerFunc{
		"/healthz":             func(out http.ResponseWriter, _ *http.Request) { fmt.Fprintln(out, "ok") },
		"/readyz":              ready(made, options),
		"/debug/pprof/":        pprof.Index,
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	}
	if options.metrics == "0" {
		return nil
	}
	for path, handler := range handlers {
		if err := made.AddMetricsServerExtraHandler(path, handler); err != nil {
			return err
		}
	}
	return nil
}

// ready says 200 once every cache holds what the API server has.
func ready(made manager.Manager, options options) http.HandlerFunc {
	return func(out http.ResponseWriter, request *http.Request) {
		for _, object := range watched(options) {
			informer, err := made.GetCache().GetInformer(request.Context(), object, cache.BlockUntilSynced(false))
			if err != nil || !informer.HasSynced() {
				http.Error(out, fmt.Sprintf("%T: not synced", object), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(out, "ok")
	}
}
