package main

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var gitRepoVersion = schema.GroupVersion{Group: "fleet.cattle.io", Version: "v1alpha1"}

// GitRepo is the part of Fleet's GitRepo that a controller of this size reads.
type GitRepo struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec GitRepoSpec `json:"spec,omitempty"`
}

// GitRepoSpec names a repository, what of it is deployed where, and the Secret with the credentials for it.
type GitRepoSpec struct {
	Repo             string   `json:"repo,omitempty"`
	Branch           string   `json:"branch,omitempty"`
	Paths            []string `json:"paths,omitempty"`
	ClientSecretName string   `json:"clientSecretName,omitempty"`
	Targets          []Target `json:"targets,omitempty"`
}

// Target selects Clusters.
type Target struct {
	Name            string                `json:"name,omitempty"`
	ClusterSelector *metav1.LabelSelector `json:"clusterSelector,omitempty"`
}

// GitRepoList is a page of GitRepos.
type GitRepoList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []GitRepo `json:"items"`
}

// defaultSecret is read by Fleet where a GitRepo names none.
const defaultSecret = "gitcredential"

func (g *GitRepo) secretName() string {
	if g.Spec.ClientSecretName != "" {
		return g.Spec.ClientSecretName
	}
	return defaultSecret
}

// DeepCopyObject copies: what comes out of the cache is the caller's.
func (g *GitRepo) DeepCopyObject() runtime.Object { return g.deepCopy() }

func (g *GitRepo) deepCopy() *GitRepo {
	out := *g
	g.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Spec.Paths = slices.Clone(g.Spec.Paths)
	out.Spec.Targets = slices.Clone(g.Spec.Targets)
	for i := range out.Spec.Targets {
		out.Spec.Targets[i].ClusterSelector = g.Spec.Targets[i].ClusterSelector.DeepCopy()
	}
	return &out
}

// DeepCopyObject copies the list and its items.
func (l *GitRepoList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = make([]GitRepo, 0, len(l.Items))
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].deepCopy())
	}
	return &out
}

func addGitRepos(scheme *runtime.Scheme) {
	scheme.AddKnownTypes(gitRepoVersion, &GitRepo{}, &GitRepoList{})
	metav1.AddToGroupVersion(scheme, gitRepoVersion)
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// without is a copy of the annotations that lacks one, or the annotations themselves where it is not among them.
func without(annotations map[string]string, key string) map[string]string {
	if _, there := annotations[key]; !there {
		return annotations
	}
	left := maps.Clone(annotations)
	delete(left, key)
	return left
}
