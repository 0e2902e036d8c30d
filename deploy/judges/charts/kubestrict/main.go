// Command kubestrict reads Kubernetes manifests from standard input, strictly, as the types
// that an API server has for them, and those of the Prometheus operator: an unknown or
// doubled field, another type and an unknown kind are refused. Beyond the types it holds
// what names something else in one manifest against that: mounts and volumes, selectors
// and labels, a Service's ports and the containers'. It prints each kind and name.
//
// Exit 0: all well; 1: something was said on standard error; 2: no manifest at all.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	found, err := read(os.Stdin)
	if err == nil {
		err = check(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubestrict:", err)
		os.Exit(1)
	}
	if len(found) == 0 {
		fmt.Fprintln(os.Stderr, "kubestrict: no manifest")
		os.Exit(2)
	}
}

// read decodes all documents, and goes on after one that is wrong so that all is said.
func read(r io.Reader) ([]runtime.Object, error) {
	if err := monitoring.AddToScheme(scheme.Scheme); err != nil {
		return nil, err
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var found []runtime.Object
	var bad []error
	for docs := yaml.NewYAMLReader(bufio.NewReader(r)); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return found, errors.Join(bad...)
		}
		if err != nil {
			return found, err
		}
		if j, err := yaml.ToJSON(doc); err != nil || string(j) == "null" {
			bad = append(bad, err)
			continue
		}
		object, kind, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		name := object.(meta.Object).GetName()
		fmt.Println(kind.Kind, name)
		if name == "" {
			bad = append(bad, fmt.Errorf("a %s has no name", kind.Kind))
		}
		found = append(found, object)
	}
}

// check looks at what types cannot say.
func check(found []runtime.Object) error {
	var bad []error
	pods := map[string]core.PodTemplateSpec{}
	for _, o := range found {
		if s, ok := o.(*apps.StatefulSet); ok {
			pods[s.Name] = s.Spec.Template
			bad = append(bad, statefulSet(s))
		}
	}
	for _, o := range found {
		if s, ok := o.(*core.Service); ok {
			bad = append(bad, service(s, pods))
		}
	}
	return errors.Join(bad...)
}

func statefulSet(s *apps.StatefulSet) error {
	var bad []error
	selector, err := meta.LabelSelectorAsSelector(s.Spec.Selector)
	if err != nil || selector.Empty() || !selector.Matches(labels.Set(s.Spec.Template.Labels)) {
		bad = append(bad, fmt.Errorf("StatefulSet %s: selector %s does not choose its own pods %v (%v)", s.Name, selector, s.Spec.Template.Labels, err))
	}
	spec := s.Spec.Template.Spec
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	for _, v := range s.Spec.VolumeClaimTemplates {
		volumes[v.Name] = true
	}
	names := map[string]bool{}
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		if names[c.Name] || c.Name == "" || c.Image == "" {
			bad = append(bad, fmt.Errorf("container %q: its name is doubled or empty, or it has no image", c.Name))
		}
		names[c.Name] = true
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				bad = append(bad, fmt.Errorf("container %s mounts %s, which is no volume", c.Name, m.Name))
			}
		}
	}
	return errors.Join(bad...)
}

// service holds a Service against the pods that it chooses: each named port is one of theirs.
func service(s *core.Service, pods map[string]core.PodTemplateSpec) error {
	chosen := 0
	named := map[string]bool{}
	for _, p := range pods {
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.Labels)) {
			continue
		}
		chosen++
		for _, c := range p.Spec.Containers {
			for _, port := range c.Ports {
				named[port.Name] = true
			}
		}
	}
	if chosen == 0 {
		return fmt.Errorf("Service %s chooses no pod", s.Name)
	}
	for _, p := range s.Spec.Ports {
		if t := p.TargetPort.StrVal; t != "" && !named[t] {
			return fmt.Errorf("Service %s: no container has a port %s", s.Name, t)
		}
	}
	return nil
}
