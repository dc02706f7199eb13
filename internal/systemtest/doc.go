// Package systemtest holds the tests of promises that no single part of the library keeps
// alone. Each test uses the library as an application does.
//
//	simulation                 random operations and faults, beside a model
//	crash, lost, poison        the process ends at any moment
//	faults, flaky, hang,
//	startup, races, twice      the store fails, hangs, or answers late
//	contain, contain_config,
//	callback, context          the application's own code misbehaves
//	isolation, newcomer        subscribers that hang or are slow delay no other
//	overload, ordering         more is published than can be delivered; order
//	fleet, wake, clock_faults  several processes share a store and its clock
//	failing, failures, weak    the operator hears of what is wrong
//	explain, explain_event,
//	request, sendtest, trace   and can ask where a delivery stands, and try
//	health, health_state       endpoints that are disabled, and their hold
//	action, action_manage,
//	action_faults, …_crash,
//	action_scale, …_tenant     bulk actions
//	tenant, tenant_pages,
//	query, recreate            what belongs to whom, in lists, and when an id is used again
//	later_form                 records that a later version has written
//	dispatcher, flush,
//	duplicate, limits          what Run and Flush do, and at most
//	optional                   stores that are wrapped
//	leak, seal, sealed         secrets, and keys that are missing
//	bench                      the benchmarks
//	hostile/                   receivers that do their worst
//
// To run all of them, their long forms, or one simulation:
//
//	go test ./internal/systemtest/...
//	go test ./internal/systemtest -run 'Crash|Simulation' -hooks.long -timeout 3h
//	go test ./internal/systemtest -run Simulation -hooks.seed 17
package systemtest
