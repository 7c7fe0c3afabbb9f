/* SPDX-License-Identifier: MIT
 *
 * The cache of environ keys. It owns the keys in it and nothing else.
 *
 * The keys are not interned: since CPython 3.12 an interned string may live for ever, and the names
 * come from clients.
 */
#include "pyext/header_key.h"

#include "pyext/text.h"

void cg_header_keys_done(struct cg_header_keys *keys) {
    for (size_t i = 0; keys->at && i < CG_HEADER_KEYS_N; i++)
        Py_CLEAR(keys->at[i].key);
    PyMem_Free(keys->at);
    keys->at = NULL;
}

static char key_char(char c) {
    if (c >= 'a' && c <= 'z')
        return (char)(c - 'a' + 'A');
    return c == '-' ? '_' : c;
}

static PyObject *make_key(struct cg_slice name) {
    static const char prefix[] = {'H', 'T', 'T', 'P', '_'};
    char *text = PyMem_Malloc(sizeof(prefix) + name.len);
    if (!text)
        return PyErr_NoMemory();
    memcpy(text, prefix, sizeof(prefix));
    for (size_t i = 0; i < name.len; i++)
        text[sizeof(prefix) + i] = key_char(name.at[i]);
    PyObject *key = PyUnicode_DecodeLatin1(text, (Py_ssize_t)(sizeof(prefix) + name.len), NULL);
    PyMem_Free(text);
    return key;
}

/* FNV-1a. Whoever finds colliding names wins a cache miss for each. */
static size_t place_of(struct cg_slice name) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.at[i]) * 16777619u;
    return (h ^ h >> 15) & (CG_HEADER_KEYS_N - 1);
}

/* A new reference to the key of this name, made by `make` unless it is there. */
static PyObject *get(struct cg_header_keys *keys, struct cg_slice name,
                     PyObject *(*make)(struct cg_slice name)) {
    if (!keys->at)
        keys->at = PyMem_Calloc(CG_HEADER_KEYS_N, sizeof(*keys->at));
    if (!keys->at || name.len > CG_HEADER_KEY_NAME_MAX)
        return make(name);
    struct cg_header_key *k = &keys->at[place_of(name)];
    if (k->key && cg_slice_eq(name, cg_slice_of(k->name, k->name_len)))
        return cg_py_ref(k->key);
    PyObject *key = make(name);
    if (!key)
        return NULL;
    memcpy(k->name, name.at, name.len);
    k->name_len = (uint8_t)name.len;
    Py_XSETREF(k->key, cg_py_ref(key));
    return key;
}

PyObject *cg_header_keys_get(struct cg_header_keys *keys, struct cg_slice name) {
    return get(keys, name, make_key);
}

PyObject *cg_header_keys_get_verbatim(struct cg_header_keys *keys, struct cg_slice name) {
    return get(keys, name, cg_text_new);
}
