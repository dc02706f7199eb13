package retry_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"example.com/hooks/retry"
)

// A delivery needs to remember only how many attempts it has had, and when the
// next one is due.
func Example() {
	var policy retry.Policy = retry.Schedule{time.Second, time.Minute}
	attempt := func() error { return errors.New("503 Service Unavailable") }

	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for n := 1; ; n++ {
		if err := attempt(); err == nil {
			return
		}
		wait, ok := policy.Next(n)
		if !ok {
			fmt.Println("gave up after attempt", n)
			return
		}
		due := now.Add(retry.Jitter(wait, rand.Float64()))
		fmt.Println("attempt", n+1, "is not due at once:", due.After(now))
		now = due
	}
	// Output:
	// attempt 2 is not due at once: true
	// attempt 3 is not due at once: true
	// gave up after attempt 3
}

func ExampleStandard() {
	fmt.Println(retry.Standard())
	// Output: [5s 5m0s 30m0s 2h0m0s 5h0m0s 10h0m0s 14h0m0s 20h0m0s 24h0m0s]
}

// The standard schedule can be cut short: this one gives up after 35 minutes.
func ExampleStandard_shorter() {
	short := retry.Standard()[:3]
	for n := 1; n <= 4; n++ {
		fmt.Println(short.Next(n))
	}
	// Output:
	// 5s true
	// 5m0s true
	// 30m0s true
	// 0s false
}

func ExampleSchedule_Validate() {
	fmt.Println(retry.Schedule{time.Minute, -time.Hour}.Validate())
	// Output: retry: Schedule[1] is -1h0m0s: use 0 to retry at once, or a positive wait
}

func ExampleExponential() {
	policy := retry.Exponential{First: time.Second, Max: 20 * time.Second, Factor: 3, Attempts: 6}
	for n := 1; n <= policy.Attempts; n++ {
		fmt.Println(policy.Next(n))
	}
	// Output:
	// 1s true
	// 3s true
	// 9s true
	// 20s true
	// 20s true
	// 0s false
}

func ExampleExponential_Validate() {
	fmt.Println(retry.Exponential{Factor: 0.5, Attempts: -1}.Validate())
	// Output:
	// retry: Exponential.Factor is 0.5: use a finite number of at least 1, or 0 for 2
	// retry: Exponential.Attempts is -1: use 1 for no retry, or 0 for 10
}

func ExampleJitter() {
	fmt.Println(retry.Jitter(10*time.Second, 0))
	fmt.Println(retry.Jitter(10*time.Second, 0.5))
	fmt.Println(retry.Jitter(10*time.Second, 0.99))
	// Output:
	// 10s
	// 11s
	// 11.98s
}
