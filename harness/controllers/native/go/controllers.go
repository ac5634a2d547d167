package main

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	bySecret                            = "spec.clientSecretName"
	gitRepoController, secretController = "gitrepo", "secret"

	namesAhead = 1024 // GitRepos named by Secrets that wait until their controller takes them
)

var (
	examined = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "native_go_gitrepos_examined_total",
		Help: "GitRepos looked at to find those that use a Secret.",
	})
	reads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "native_go_secret_reads_total",
		Help: "Reads of one Secret by name, by where the answer came from.",
	}, []string{"from"})
)

// reader finds Secrets and the GitRepos that use them, as the switches say.
type reader struct {
	options options
	cached  client.Client
	live    client.Reader
}

func addControllers(made manager.Manager, options options) error {
	metrics.Registry.MustRegister(examined, reads)
	read := &reader{options: options, cached: made.GetClient(), live: made.GetAPIReader()}
	if options.index {
		err := made.GetFieldIndexer().IndexField(context.Background(), &GitRepo{}, bySecret, func(object client.Object) []string {
			return []string{object.(*GitRepo).secretName()}
		})
		if err != nil {
			return fmt.Errorf("the index cannot be made: %w", err)
		}
	}
	limits := func(name string) controller.Options {
		return controller.Options{MaxConcurrentReconciles: options.workersOf(name)}
	}
	named := make(chan event.TypedGenericEvent[*GitRepo], namesAhead)
	err := ctrl.NewControllerManagedBy(made).
		Named(gitRepoController).
		For(&GitRepo{}).
		WatchesRawSource(source.Channel(named, &handler.TypedEnqueueRequestForObject[*GitRepo]{})).
		WithOptions(limits(gitRepoController)).
		Complete(&gitRepos{read})
	if err != nil || !options.watches() {
		return err
	}
	var how []builder.ForOption
	if options.cache.value == cacheMetadata {
		how = append(how, builder.OnlyMetadata)
	}
	return ctrl.NewControllerManagedBy(made).
		Named(secretController).
		For(&corev1.Secret{}, how...).
		WithOptions(limits(secretController)).
		Complete(&secrets{read, named})
}

// gitRepos reads the credentials of each GitRepo.
type gitRepos struct{ *reader }

func (g *gitRepos) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var repo GitRepo
	if err := g.cached.Get(ctx, request.NamespacedName, &repo); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	_, err := g.secret(ctx, types.NamespacedName{Namespace: repo.Namespace, Name: repo.secretName()})
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// secrets has the GitRepos that use a Secret looked at again when it changes.
type secrets struct {
	*reader
	named chan<- event.TypedGenericEvent[*GitRepo]
}

func (s *secrets) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	users, err := s.users(ctx, request.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	for i := range users {
		select {
		case s.named <- event.TypedGenericEvent[*GitRepo]{Object: &users[i]}:
		case <-ctx.Done():
			return ctrl.Result{}, ctx.Err()
		}
	}
	return ctrl.Result{}, nil
}

// secret is one Secret with its payload: from the cache where that has it, else from the API server.
func (r *reader) secret(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	how := r.options.cache.value
	if r.options.disableFor.value == disableSecret && how != cacheNone {
		// The client itself goes to the API server, whatever is kept beside it.
		reads.WithLabelValues("api").Inc()
		return secret, r.cached.Get(ctx, key, secret)
	}
	if !r.options.keeps(key.Namespace) {
		how = cacheNone // asked for a namespace it does not hold, a cache fails
	}
	switch how {
	case cacheAll, cacheSelector:
		err := r.cached.Get(ctx, key, secret)
		// Of what a selector keeps out, the cache cannot tell whether it exists.
		if known := err == nil || r.options.cache.value == cacheAll; known && (err != nil || r.options.keepsPayload()) {
			reads.WithLabelValues("cache").Inc()
			return secret, err
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	case cacheMetadata:
		known := &metav1.PartialObjectMetadata{}
		known.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		if err := r.cached.Get(ctx, key, known); err != nil {
			reads.WithLabelValues("cache").Inc()
			return nil, err
		}
	}
	reads.WithLabelValues("api").Inc()
	return secret, r.live.Get(ctx, key, secret)
}

// users are the GitRepos that read a Secret.
func (r *reader) users(ctx context.Context, secret types.NamespacedName) ([]GitRepo, error) {
	var found GitRepoList
	where := []client.ListOption{client.InNamespace(secret.Namespace)}
	if r.options.index {
		where = append(where, client.MatchingFields{bySecret: secret.Name})
	}
	if err := r.cached.List(ctx, &found, where...); err != nil {
		return nil, err
	}
	examined.Add(float64(len(found.Items)))
	if r.options.index {
		return found.Items, nil
	}
	using := found.Items[:0]
	for _, repo := range found.Items {
		if repo.secretName() == secret.Name {
			using = append(using, repo)
		}
	}
	return using, nil
}
