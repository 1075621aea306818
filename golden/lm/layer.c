/* A layer of EGRUs over many steps, walking only the rows of units that are active, in integers and in floating point.
 *
 * Built by golden/lm/native.py. The constants of the number formats are macros that golden/lm/integer.py takes from
 * golden/fixed.py, which says what each operation means; golden/float_reference.py has the same in floating point.
 *
 * Shapes, row-major: from_inputs (steps, batch, 3H), columns z, r, g; kernel (H, 3H); h, y (batch, H), read and written;
 * hs, fires, ys (steps, batch, H); narrow and sums (3H) and active (H) are scratch.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

/* sums = y @ kernel over the units whose y is not 0, four rows at a time: each pass over the sums then does four rows. */
#define ADD_ROWS(NAME, VALUE, WEIGHT, SUM)                                                                             \
    static void NAME(int64_t units, const VALUE *restrict y, const WEIGHT *restrict kernel, SUM *restrict sums,        \
                     int64_t *restrict active) {                                                                       \
        const int64_t columns = 3 * units;                                                                             \
        int64_t count = 0, k = 0;                                                                                      \
        for (int64_t j = 0; j < units; j++)                                                                            \
            if (y[j] != 0) active[count++] = j;                                                                        \
        memset(sums, 0, columns * sizeof *sums);                                                                       \
        for (; k + 4 <= count; k += 4) {                                                                               \
            const WEIGHT *a = kernel + active[k] * columns, *b = kernel + active[k + 1] * columns;                     \
            const WEIGHT *c = kernel + active[k + 2] * columns, *d = kernel + active[k + 3] * columns;                 \
            const SUM u = y[active[k]], v = y[active[k + 1]], w = y[active[k + 2]], x = y[active[k + 3]];              \
            for (int64_t i = 0; i < columns; i++) sums[i] += (u * a[i] + v * b[i]) + (w * c[i] + x * d[i]);            \
        }                                                                                                              \
        for (; k < count; k++) {                                                                                       \
            const WEIGHT *a = kernel + active[k] * columns;                                                            \
            const SUM u = y[active[k]];                                                                                \
            for (int64_t i = 0; i < columns; i++) sums[i] += u * a[i];                                                 \
        }                                                                                                              \
    }

ADD_ROWS(add_rows_32, int32_t, int8_t, int32_t)
ADD_ROWS(add_rows_64, int32_t, int8_t, int64_t)
ADD_ROWS(add_rows_float, double, float, float)

static inline int64_t half_step(int64_t shift) { return shift > 0 ? (int64_t)1 << (shift - 1) : 0; }
static inline int64_t round_shift(int64_t x, int64_t shift) { return (x + half_step(shift)) >> shift; }

static inline int64_t saturate(int64_t x, int64_t bits) {
    const int64_t limit = (int64_t)1 << (bits - 1);
    return x < -limit ? -limit : x >= limit ? limit - 1 : x;
}

static inline int64_t rescale(int64_t total, int64_t shift, int64_t bits) {
    return saturate(round_shift(total * (1 << SHIFT_GUARD), shift + SHIFT_GUARD), bits);
}

/* table: bases of the segments, then their slopes */
static inline int64_t evaluate(const int64_t *table, int64_t pre) {
    const int64_t segment = (pre >> FRACTION_BITS) + (1 << (SEGMENT_BITS - 1));
    const int64_t fraction = pre & ((1 << FRACTION_BITS) - 1);
    return table[segment] + round_shift(table[(1 << SEGMENT_BITS) + segment] * fraction, FRACTION_BITS);
}

static inline int64_t event_value(int64_t c, int64_t y_bits) {
    if (y_bits > STATE_FRACTION) return c << (y_bits - STATE_FRACTION);
    const int64_t value = round_shift(c, STATE_FRACTION - y_bits), largest = ((int64_t)1 << y_bits) - 1;
    return value < largest ? value : largest;
}

/* bias: gx, z, r, gh of (4, H); shifts: of the same; wide: recurrent sums need more than 32 bits */
void egru_integer(int64_t steps, int64_t batch, int64_t units, int64_t wide, int64_t y_bits, const int64_t *shifts,
                  const int64_t *sigmoid, const int64_t *tanh_table, const int64_t *bias, const int64_t *threshold,
                  const int8_t *kernel, const int64_t *from_inputs, int32_t *h, int32_t *y, int32_t *hs, int32_t *fires,
                  int32_t *ys, int32_t *narrow, int64_t *sums, int64_t *active) {
    const int64_t H = units;
    for (int64_t row = 0; row < steps * batch; row++, from_inputs += 3 * H, hs += H, fires += H, ys += H) {
        int32_t *state = h + row % batch * H, *value = y + row % batch * H;
        if (wide)
            add_rows_64(H, value, kernel, sums, active);
        else {
            add_rows_32(H, value, kernel, narrow, active);
            for (int64_t i = 0; i < 3 * H; i++) sums[i] = narrow[i];
        }
        for (int64_t j = 0; j < H; j++) {
            const int64_t gx = rescale(from_inputs[2 * H + j] + bias[j], shifts[0], ADDEND_BITS);
            const int64_t z = evaluate(sigmoid, rescale(from_inputs[j] + sums[j] + bias[H + j], shifts[1], PRE_BITS));
            const int64_t r =
                evaluate(sigmoid, rescale(from_inputs[H + j] + sums[H + j] + bias[2 * H + j], shifts[2], PRE_BITS));
            const int64_t gh = rescale(sums[2 * H + j] + bias[3 * H + j], shifts[3], ADDEND_BITS);
            const int64_t g = evaluate(tanh_table, saturate(gx + round_shift(r * gh, STATE_FRACTION), PRE_BITS));
            const int64_t c = g + round_shift(z * (state[j] - g), STATE_FRACTION);
            const int64_t fire = c > threshold[j];
            hs[j] = state[j] = (int32_t)(c - fire * threshold[j]);
            fires[j] = (int32_t)fire;
            ys[j] = value[j] = fire ? (int32_t)event_value(c, y_bits) : 0;
        }
    }
}

static inline double sigmoid(double x) { return 0.5 * (1.0 + tanh(0.5 * x)); }

/* from_inputs has the input bias in it; bias: the recurrent one, z, r, g of (3, H) */
void egru_float(int64_t steps, int64_t batch, int64_t units, const double *bias, const double *threshold,
                const float *kernel, const double *from_inputs, double *h, double *y, double *hs, double *fires,
                double *ys, float *sums, int64_t *active) {
    const int64_t H = units;
    for (int64_t row = 0; row < steps * batch; row++, from_inputs += 3 * H, hs += H, fires += H, ys += H) {
        double *state = h + row % batch * H, *value = y + row % batch * H;
        add_rows_float(H, value, kernel, sums, active);
        for (int64_t j = 0; j < H; j++) {
            const double z = sigmoid(from_inputs[j] + sums[j] + bias[j]);
            const double r = sigmoid(from_inputs[H + j] + sums[H + j] + bias[H + j]);
            const double g = tanh(from_inputs[2 * H + j] + r * (sums[2 * H + j] + bias[2 * H + j]));
            const double c = z * state[j] + (1.0 - z) * g;
            const double fire = c > threshold[j] ? 1.0 : 0.0;
            hs[j] = state[j] = c - fire * threshold[j];
            fires[j] = fire;
            ys[j] = value[j] = fire * c;
        }
    }
}
