/* CartPole over structure-of-arrays state, by hand: what envs/cartpole.py is measured against.
 *
 * The same work as JitEnv does in a step: validation of the actions, dynamics in float32, time limit, episode
 * statistics, final observations, resets from SplitMix64 streams, observations; in blocks of 512, so that a
 * block stays in the L1 cache. Build: gcc -O3 -march=native -ffast-math -fopenmp-simd -shared -fPIC
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 512

typedef struct {
    float *restrict x, *restrict x_dot, *restrict theta, *restrict theta_dot;
    uint64_t *restrict streams;
    float *restrict returns, *restrict final_returns;
    int32_t *restrict lengths, *restrict final_lengths;
    float *restrict observations, *restrict final_observations, *restrict rewards;
    uint8_t *restrict terminals, *restrict truncations;
    double *restrict log;
} CartPole;

static inline float sine(float x, int shift) {
    int k = (int)(x * 0.636619772f + (x >= 0 ? 0.5f : -0.5f));
    float r = ((x - k * 1.5703125f) - k * 4.837512969970703e-4f) - k * 7.549789948768648e-8f;
    float z = r * r;
    float s = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f + z * -1.9515295891e-4f));
    float c = 1 - 0.5f * z + z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
    int quadrant = k + shift;
    float value = quadrant & 1 ? c : s;
    return quadrant & 2 ? -value : value;
}

static inline float uniform(uint64_t *stream) {
    uint64_t z = (*stream += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    return (float)(z >> 40) * 5.9604644775390625e-08f * 0.1f - 0.05f;
}

static void observe(const CartPole *e, float *observations, int i) {
    observations[4 * i] = e->x[i];
    observations[4 * i + 1] = e->x_dot[i];
    observations[4 * i + 2] = e->theta[i];
    observations[4 * i + 3] = e->theta_dot[i];
}

static void restart(CartPole *e, int i) {
    e->x[i] = uniform(&e->streams[i]);
    e->x_dot[i] = uniform(&e->streams[i]);
    e->theta[i] = uniform(&e->streams[i]);
    e->theta_dot[i] = uniform(&e->streams[i]);
    e->returns[i] = 0;
    e->lengths[i] = 0;
}

void reset(CartPole *e, int n) {
    for (int i = 0; i < n; i++) {
        restart(e, i);
        observe(e, e->observations, i);
    }
}

int step(CartPole *e, const int32_t *restrict actions, int n) {
    int bad = 0;
    for (int i = 0; i < n; i++) bad += (actions[i] < 0) | (actions[i] > 1);
    if (bad) return bad;
    for (int start = 0; start < n; start += BLOCK) {
        int stop = start + BLOCK < n ? start + BLOCK : n;
        float *restrict x = e->x, *restrict x_dot = e->x_dot, *restrict theta = e->theta;
        float *restrict theta_dot = e->theta_dot, *restrict rewards = e->rewards, *restrict returns = e->returns;
        int32_t *restrict lengths = e->lengths;
        uint8_t *restrict terminals = e->terminals, *restrict truncations = e->truncations;
#pragma omp simd
        for (int i = start; i < stop; i++) {
            float force = actions[i] == 1 ? 10.0f : -10.0f;
            float s = sine(theta[i], 0), c = sine(theta[i], 1);
            float push = (force + 0.05f * theta_dot[i] * theta_dot[i] * s) / 1.1f;
            float theta_acc = (9.8f * s - c * push) / (0.5f * (4.0f / 3.0f - 0.1f * c * c / 1.1f));
            float x_acc = push - 0.05f * theta_acc * c / 1.1f;
            x[i] += 0.02f * x_dot[i];
            x_dot[i] += 0.02f * x_acc;
            theta[i] += 0.02f * theta_dot[i];
            theta_dot[i] += 0.02f * theta_acc;
            rewards[i] = 1.0f;
            returns[i] += 1.0f;
            lengths[i] += 1;
            terminals[i] = (fabsf(theta[i]) > 0.20943951f) | (fabsf(x[i]) > 2.4f);
            truncations[i] = lengths[i] >= 500;
        }
        for (int i = start; i < stop; i++) {
            if (e->terminals[i] | e->truncations[i]) {
                e->log[0] += 1;
                e->log[1] += e->returns[i];
                e->log[2] += e->lengths[i];
                e->final_returns[i] = e->returns[i];
                e->final_lengths[i] = e->lengths[i];
                observe(e, e->final_observations, i);
                restart(e, i);
            }
        }
        for (int i = start; i < stop; i++) observe(e, e->observations, i);
    }
    return 0;
}
