/* Factors of products, float or, with BFLOAT16, its upper half; and an exponential.
 *
 * Built with -O3 -march=native by golden/lm/native.py: loops vectorise, which is why exp is spelled out.
 */

#include <stdint.h>
#include <string.h>

#ifdef BFLOAT16
typedef uint16_t factor;

static inline float load(factor x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Round to the nearest, to an even one of two. A NaN of arithmetic stays one. */
static inline factor store(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
#else
typedef float factor;

static inline float load(factor x) { return x; }
static inline factor store(float value) { return value; }
#endif

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
