/* Products with a matrix of which most weights are zero, and gradients by sources of which most are silent, float32.
 *
 * Built with -O3 -march=native by golden/lm/native.py. A vector holds LANES sequences in a product, LANES columns in a
 * gradient.
 */

#include <stdint.h>
#include <string.h>

#define LANES 16
#define COLUMNS (4 * LANES) /* of a gradient summed at a time */
#define ROWS 64             /* of a chunk: with COLUMNS columns they fit a first-level cache */

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef float unaligned __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t choice __attribute__((vector_size(4 * LANES)));

#define EACH(s) \
    FROM(0, s), FROM(1, s), FROM(2, s), FROM(3, s), FROM(4, s), FROM(5, s), FROM(6, s), FROM(7, s), FROM(8, s), \
        FROM(9, s), FROM(10, s), FROM(11, s), FROM(12, s), FROM(13, s), FROM(14, s), FROM(15, s)

/* Exchange the off-diagonal halves of all blocks of 2s x 2s. */
#define EXCHANGE(s)                                                               \
    for (int i = 0; i < LANES; i++)                                               \
        if (!(i & s)) {                                                           \
            vector low = v[i], high = v[i + s];                                   \
            v[i] = __builtin_shuffle(low, high, (choice){EACH(s)});               \
            v[i + s] = __builtin_shuffle(low, high, (choice){EACH(s)} + (s));     \
        }
#define FROM(k, s) ((k) & (s) ? LANES + (k) - (s) : (k))

/* Transpose LANES vectors. */
static inline void transpose(vector *v) {
    EXCHANGE(1)
    EXCHANGE(2)
    EXCHANGE(4)
    EXCHANGE(8)
}

/* Read a square of x, its rows stride apart, transposed; zeros beyond rows and columns. */
static inline void read_square(vector *square, const float *x, int64_t stride, int64_t rows, int64_t columns) {
    if (rows >= LANES && columns >= LANES) {
        for (int64_t k = 0; k < LANES; k++) square[k] = *(const unaligned *)(x + k * stride);
    } else {
        memset(square, 0, LANES * sizeof *square);
        for (int64_t k = 0; k < LANES && k < rows; k++)
            memcpy(square + k, x + k * stride, (columns < LANES ? columns : LANES) * sizeof *x);
    }
    transpose(square);
}

/* Write a square, transposed, to x; nothing beyond rows and columns. */
static inline void write_square(vector *square, float *x, int64_t stride, int64_t rows, int64_t columns) {
    transpose(square);
    for (int64_t k = 0; k < LANES && k < rows; k++)
        memcpy(x + k * stride, square + k, (columns < LANES ? columns : LANES) * sizeof *x);
}

/* Return how many values are not zero. */
int64_t count_values(int64_t count, const float *restrict x) {
    int64_t found = 0;
    for (int64_t n = 0; n < count; n++) found += x[n] != 0.0f;
    return found;
}

/* Find the non-zero weights of w (sources, targets), ordered by block of sources, target and source.
 *
 * Targets of a block come in the order of their number of weights, as processors predict loops of equal length.
 * target: (blocks * targets), the targets in this order; start: (blocks * targets + 1), where the weights of each
 * begin; index: of the source in its block; position: of the weight in w; scratch: 2 * targets + block + 2.
 */
void sparse_structure(int64_t sources, int64_t targets, int64_t block, const float *restrict w,
                      int64_t *restrict start, int32_t *restrict target, uint16_t *restrict index,
                      int32_t *restrict position, int64_t *restrict scratch) {
    int64_t *counts = scratch, *next = counts + targets, *rank = next + targets, n = 0, k = 0;
    for (int64_t first = 0; first < sources; first += block) {
        int64_t end = sources - first < block ? sources : first + block;
        memset(counts, 0, targets * sizeof *counts);
        memset(rank, 0, (block + 2) * sizeof *rank);
        for (int64_t i = first; i < end; i++)
            for (int64_t j = 0; j < targets; j++) counts[j] += w[i * targets + j] != 0.0f;
        for (int64_t j = 0; j < targets; j++) rank[counts[j] + 1]++;
        for (int64_t c = 0; c <= block; c++) rank[c + 1] += rank[c];
        for (int64_t j = 0; j < targets; j++) target[k + rank[counts[j]]++] = j;
        for (int64_t last = k + targets; k < last; k++) {
            start[k] = next[target[k]] = n;
            n += counts[target[k]];
        }
        for (int64_t i = first; i < end; i++)
            for (int64_t j = 0; j < targets; j++)
                if (w[i * targets + j] != 0.0f) {
                    index[next[j]] = i - first;
                    position[next[j]++] = i * targets + j;
                }
    }
    start[k] = n;
}

/* Copy the weights at the given positions; return how many of them are zero. */
int64_t sparse_gather(int64_t count, const int32_t *restrict position, const float *restrict w,
                      float *restrict weight) {
    int64_t zeros = 0;
    for (int64_t n = 0; n < count; n++) {
        weight[n] = w[position[n]];
        zeros += weight[n] == 0.0f;
    }
    return zeros;
}

/* out (batch, targets) = x (batch, sources; rows x_stride apart) times the weights of a structure.
 *
 * Two vectors of sequences share the reading of a weight. scratch: 2 LANES (block + targets), each rounded up to LANES.
 */
void sparse_product(int64_t batch, int64_t sources, int64_t targets, int64_t block, const float *restrict x,
                    int64_t x_stride, const int64_t *restrict start, const int32_t *restrict target,
                    const uint16_t *restrict index, const float *restrict weight, float *restrict out,
                    float *restrict scratch) {
    typedef vector pair[2];
    pair *tile = (pair *)scratch, *sums = tile + (block + LANES - 1) / LANES * LANES;
    vector square[LANES];
    for (int64_t row = 0; row < batch; row += 2 * LANES) {
        memset(sums, 0, targets * sizeof *sums);
        for (int64_t first = 0; first < sources; first += block) {
            int64_t count = sources - first < block ? sources - first : block;
            for (int half = 0; half < 2; half++)
                for (int64_t i = 0; i < count; i += LANES) {
                    int64_t from = row + half * LANES;
                    read_square(square, x + from * x_stride + first + i, x_stride, batch - from, count - i);
                    for (int64_t k = 0; k < LANES; k++) tile[i + k][half] = square[k];
                }
            for (int64_t k = first / block * targets, last = k + targets; k < last; k++) {
                vector *sum = sums[target[k]], a = sum[0], b = sum[1], c = {0}, d = {0};
                int64_t n = start[k], end = start[k + 1];
                for (; n + 2 <= end; n += 2) { /* four sums, as an addition has a latency */
                    a += weight[n] * tile[index[n]][0];
                    b += weight[n] * tile[index[n]][1];
                    c += weight[n + 1] * tile[index[n + 1]][0];
                    d += weight[n + 1] * tile[index[n + 1]][1];
                }
                if (n < end) {
                    a += weight[n] * tile[index[n]][0];
                    b += weight[n] * tile[index[n]][1];
                }
                sum[0] = a + c;
                sum[1] = b + d;
            }
        }
        for (int half = 0; half < 2; half++)
            for (int64_t j = 0; j < targets; j += LANES) {
                int64_t to = row + half * LANES;
                for (int64_t k = 0; k < LANES; k++) square[k] = sums[j + k][half];
                write_square(square, out + to * targets + j, targets, batch - to, targets - j);
            }
    }
}

/* Add the products of a list's events to COLUMNS columns of a gradient's row; d are these columns of a chunk. */
static inline void add_events(int64_t count, const uint8_t *row, const float *value, const vector d[][4],
                              float *gradient) {
    unaligned *out = (unaligned *)gradient;
    vector a = out[0], b = out[1], c = out[2], e = out[3];
    for (int64_t n = 0; n < count; n++) {
        a += value[n] * d[row[n]][0];
        b += value[n] * d[row[n]][1];
        c += value[n] * d[row[n]][2];
        e += value[n] * d[row[n]][3];
    }
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = e;
}

/* List the events, values that are not zero, of x (count, sources), by chunk of ROWS rows and by source.
 *
 * start: (chunks * sources + 1); row, in its chunk, and value: of each event, and one more of scratch.
 */
void list_events(int64_t count, int64_t sources, const float *restrict x, int64_t *restrict start,
                    uint8_t *restrict row, float *restrict value) {
    int64_t n = 0, k = 0;
    for (int64_t first = 0; first < count; first += ROWS, x += ROWS * sources) {
        int64_t rows = count - first < ROWS ? count - first : ROWS;
        for (int64_t i = 0; i < sources; i++) {
            start[k++] = n;
            for (int64_t r = 0; r < rows; r++) {
                row[n] = r;
                value[n] = x[r * sources + i];
                n += value[n] != 0.0f;
            }
        }
    }
    start[k] = n;
}

/* Add x' d to gradient (sources, targets), for listed events of x (count, sources), and d, its rows d_stride apart. */
void event_gradient(int64_t count, int64_t sources, int64_t targets, const int64_t *restrict start,
                    const uint8_t *restrict row, const float *restrict value, const float *restrict d,
                    int64_t d_stride, float *restrict gradient) {
    int64_t chunks = (count + ROWS - 1) / ROWS, j = 0;
    vector chunk[ROWS][4]; /* together, as a large stride would have few sets of a cache */
    for (; j + COLUMNS <= targets; j += COLUMNS)
        for (int64_t k = 0; k < chunks; k++) {
            for (int64_t r = 0; r < ROWS && k * ROWS + r < count; r++)
                memcpy(chunk[r], d + (k * ROWS + r) * d_stride + j, sizeof chunk[r]);
            for (int64_t i = 0; i < sources; i++) {
                int64_t n = start[k * sources + i], events = start[k * sources + i + 1] - n;
                if (events) add_events(events, row + n, value + n, chunk, gradient + i * targets + j);
            }
        }
    for (; j < targets; j++)
        for (int64_t k = 0; k < chunks * sources; k++)
            for (int64_t n = start[k]; n < start[k + 1]; n++)
                gradient[k % sources * targets + j] += value[n] * d[(k / sources * ROWS + row[n]) * d_stride + j];
}
