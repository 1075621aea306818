/* The pointwise part of an EGRU step and of its gradient, float32; golden/lm/recurrence.py says what each array is.
 *
 * Built with -O3 -march=native by golden/lm/compiled.py: the loops over units vectorise, which is why exp is spelled out.
 */

#include <stdint.h>
#include <string.h>

/* e^x to 2 units in the last place: 2^n e^f with |f| <= ln(2)/2, a polynomial of degree 6. NaN stays NaN. */
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float n = x * 1.44269504f;
    n = (n + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23: rounds to an integer */
    float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }
static inline float hyperbolic_tangent(float x) { return 1.0f - 2.0f / (1.0f + exponential(2.0f * x)); }

void egru_forward(int64_t batch, int64_t units, const float *restrict bias, const float *restrict threshold,
                  const float *restrict a, const float *restrict b, const float *restrict h, float *restrict c,
                  float *restrict h_next, float *restrict y_next) {
    const int64_t H = units;
    for (int64_t row = 0; row < batch; row++, a += 3 * H, b += 3 * H, h += H, c += H, h_next += H, y_next += H)
        for (int64_t j = 0; j < H; j++) {
            float z = sigmoid(a[H + j] + b[j] + bias[H + j]);
            float r = sigmoid(a[2 * H + j] + b[H + j] + bias[2 * H + j]);
            float g = hyperbolic_tangent(a[j] + bias[j] + r * (b[2 * H + j] + bias[3 * H + j]));
            float value = z * h[j] + (1.0f - z) * g;
            float fires = value > threshold[j] ? 1.0f : 0.0f;
            c[j] = value;
            y_next[j] = fires * value;
            h_next[j] = value - fires * threshold[j];
        }
}

void egru_backward(int64_t batch, int64_t units, const float *restrict bias, const float *restrict threshold,
                   const float *restrict a, const float *restrict b, const float *restrict h, const float *restrict c,
                   const float *restrict dy, const float *restrict dy_back, const float *restrict dfires,
                   float dampening, float support, float *restrict dh, float *restrict dthreshold, float *restrict d) {
    const int64_t H = units;
    for (int64_t row = 0; row < batch; row++, a += 3 * H, b += 3 * H, h += H, c += H, dy += H, dy_back += H, dh += H,
                 dthreshold += H, d += 4 * H)
        for (int64_t j = 0; j < H; j++) {
            float z = sigmoid(a[H + j] + b[j] + bias[H + j]);
            float r = sigmoid(a[2 * H + j] + b[H + j] + bias[2 * H + j]);
            float b_g = b[2 * H + j] + bias[3 * H + j];
            float g = hyperbolic_tangent(a[j] + bias[j] + r * b_g);
            float v = c[j] - threshold[j];
            float fires = v > 0.0f ? 1.0f : 0.0f;
            float triangle = 1.0f - support * (v < 0.0f ? -v : v);
            float dy_all = dy[j] + dy_back[j];
            float dv = (dy_all * c[j] - dh[j] * threshold[j] + dfires[j]) * dampening *
                       (triangle > 0.0f ? triangle : 0.0f);
            float dc = dy_all * fires + dh[j] + dv;
            float dg = dc * (1.0f - z) * (1.0f - g * g);
            dthreshold[j] -= dv + dh[j] * fires;
            d[j] = dg;
            d[H + j] = dc * (h[j] - g) * z * (1.0f - z);
            d[2 * H + j] = dg * b_g * r * (1.0f - r);
            d[3 * H + j] = dg * r;
            dh[j] = dc * z;
        }
}
