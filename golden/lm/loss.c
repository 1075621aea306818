/* Cross-entropy of rows of logits and its gradient: golden/lm/loss.py has the equations. */

#include "factor.h"

#include <math.h>

#define LANES 16 /* sums side by side, so that they vectorise */

static inline float largest(const float *x, int64_t count) {
    float lanes[LANES], found = -INFINITY;
    for (int k = 0; k < LANES; k++) lanes[k] = -INFINITY;
    int64_t j = 0;
    for (; j + LANES <= count; j += LANES)
        for (int k = 0; k < LANES; k++) lanes[k] = x[j + k] > lanes[k] ? x[j + k] : lanes[k];
    for (; j < count; j++) found = x[j] > found ? x[j] : found;
    for (int k = 0; k < LANES; k++) found = lanes[k] > found ? lanes[k] : found;
    return found;
}

/* Replace x by exp(x - shift); return the sum. */
static inline float exponentials(float *x, int64_t count, float shift) {
    float lanes[LANES] = {0}, sum = 0.0f;
    int64_t j = 0;
    for (; j + LANES <= count; j += LANES)
        for (int k = 0; k < LANES; k++) lanes[k] += x[j + k] = exponential(x[j + k] - shift);
    for (; j < count; j++) sum += x[j] = exponential(x[j] - shift);
    for (int k = 0; k < LANES; k++) sum += lanes[k];
    return sum;
}

/* Return the sum over rows of log sum exp L - L[next], where L = logits + bias.
 *
 * logits: (rows, words), of which, with gradients, each becomes softmax(L) - onehot(next), which dbias (words,) grows
 * by; next: (rows,); scratch: (words,).
 */
double cross_entropy(int64_t rows, int64_t words, int64_t gradients, const float *restrict bias,
                     const int64_t *restrict next, factor *restrict logits, float *restrict dbias,
                     float *restrict scratch) {
    double loss = 0.0;
    for (int64_t row = 0; row < rows; row++, logits += words) {
        for (int64_t j = 0; j < words; j++) scratch[j] = load(logits[j]) + bias[j];
        float shift = largest(scratch, words), right = scratch[next[row]];
        float sum = exponentials(scratch, words, shift);
        loss += log(sum) + shift - right;
        if (!gradients) continue;
        float scale = 1.0f / sum;
        scratch[next[row]] -= sum;
        for (int64_t j = 0; j < words; j++) {
            float d = scratch[j] * scale;
            dbias[j] += d;
            logits[j] = store(d);
        }
    }
    return loss;
}
