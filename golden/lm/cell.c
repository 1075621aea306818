/* The pointwise part of an EGRU step and of its gradient; golden/lm/recurrence.py says what each array is.
 *
 * Arithmetic is float32. What products read or write is of the type factor. The macro SURROGATE names one of the shapes
 * below; HARD_RESET is 1 or 0.
 */

#include "factor.h"

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }
static inline float hyperbolic_tangent(float x) { return 1.0f - 2.0f / (1.0f + exponential(2.0f * x)); }
static inline float magnitude(float x) { return x < 0.0f ? -x : x; }

/* Surrogate gradients of golden/surrogate.py, of height 1, at support * v. */
#define PI 3.14159265f
static inline float surrogate_triangle(float x) { return magnitude(x) < 1.0f ? 1.0f - magnitude(x) : 0.0f; }
static inline float surrogate_rectangle(float x) { return magnitude(x) < 0.5f ? 1.0f : 0.0f; }
static inline float surrogate_gaussian(float x) { return exponential(-PI * x * x); }
static inline float surrogate_sigmoid(float x) { return 4.0f * sigmoid(4.0f * x) * sigmoid(-4.0f * x); }
static inline float surrogate_arctangent(float x) { return 1.0f / (1.0f + PI * x * PI * x); }
static inline float surrogate_fast_sigmoid(float x) {
    float y = 1.0f / (1.0f + 2.0f * magnitude(x));
    return y * y;
}

void egru_forward(int64_t batch, int64_t units, const float *restrict bias, const float *restrict threshold,
                  const factor *restrict a, const factor *restrict b, const float *restrict h, float *restrict c,
                  float *restrict h_next, factor *restrict y_next) {
    const int64_t H = units;
    for (int64_t row = 0; row < batch; row++, a += 3 * H, b += 3 * H, h += H, c += H, h_next += H, y_next += H)
        for (int64_t j = 0; j < H; j++) {
            float z = sigmoid(load(a[H + j]) + load(b[j]) + bias[H + j]);
            float r = sigmoid(load(a[2 * H + j]) + load(b[H + j]) + bias[2 * H + j]);
            float g = hyperbolic_tangent(load(a[j]) + bias[j] + r * (load(b[2 * H + j]) + bias[3 * H + j]));
            float value = z * h[j] + (1.0f - z) * g;
            float fires = value > threshold[j] ? 1.0f : 0.0f;
            c[j] = value;
            y_next[j] = store(fires * value);
            h_next[j] = value - fires * (HARD_RESET ? value : threshold[j]);
        }
}

void egru_backward(int64_t batch, int64_t units, const float *restrict bias, const float *restrict threshold,
                   const factor *restrict a, const factor *restrict b, const float *restrict h, const float *restrict c,
                   const factor *restrict dy, const factor *restrict dy_back, const float *restrict dfires,
                   float dampening, float support, float *restrict dh, float *restrict dthreshold, factor *restrict d) {
    const int64_t H = units;
    for (int64_t row = 0; row < batch; row++, a += 3 * H, b += 3 * H, h += H, c += H, dy += H, dy_back += H, dh += H,
                 dthreshold += H, d += 4 * H)
        for (int64_t j = 0; j < H; j++) {
            float z = sigmoid(load(a[H + j]) + load(b[j]) + bias[H + j]);
            float r = sigmoid(load(a[2 * H + j]) + load(b[H + j]) + bias[2 * H + j]);
            float b_g = load(b[2 * H + j]) + bias[3 * H + j];
            float g = hyperbolic_tangent(load(a[j]) + bias[j] + r * b_g);
            float v = c[j] - threshold[j];
            float fires = v > 0.0f ? 1.0f : 0.0f;
            float lost = HARD_RESET ? c[j] : threshold[j], dlost = -dh[j] * fires; /* what h loses by a fire */
            float dy_all = load(dy[j]) + load(dy_back[j]);
            float dv = (dy_all * c[j] - dh[j] * lost + dfires[j]) * dampening * SURROGATE(support * v);
            float dc = dy_all * fires + dh[j] + dv + (HARD_RESET ? dlost : 0.0f);
            float dg = dc * (1.0f - z) * (1.0f - g * g);
            dthreshold[j] += (HARD_RESET ? 0.0f : dlost) - dv;
            d[j] = store(dg);
            d[H + j] = store(dc * (h[j] - g) * z * (1.0f - z));
            d[2 * H + j] = store(dg * b_g * r * (1.0f - r));
            d[3 * H + j] = store(dg * r);
            dh[j] = dc * z;
        }
}
