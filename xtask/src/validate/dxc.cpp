// Compiles HLSL by Microsoft's compiler, as wgpu does on DirectX 12.
//   dxc LIBRARY FILE...
// The first line of each FILE is a comment that names the entry point. Prints what is refused; the exit code is 1
// where anything is, and 2 where the library cannot be used.
#define __EMULATE_UUID 1
#include <dlfcn.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "WinAdapter.h"
#include "dxcapi.h"

/// What the compiler says against a text, or nothing.
static std::string refusal(IDxcCompiler3* compiler, const std::string& text) {
    const std::string name = text.substr(3, text.find('\n') - 3);
    const std::wstring entry(name.begin(), name.end());
    const DxcBuffer source{text.data(), text.size(), DXC_CP_UTF8};
    // Without -Vd the compiler would want a library that signs.
    const wchar_t* words[] = {L"-E", entry.c_str(), L"-T", L"cs_6_0", L"-HV", L"2018", L"-no-warnings", L"-Vd"};
    IDxcResult* result = nullptr;
    HRESULT status = compiler->Compile(&source, words, 8, nullptr, __uuidof(IDxcResult), (void**)&result);
    if (!result) return "no result";
    if (SUCCEEDED(status)) result->GetStatus(&status);
    IDxcBlobUtf8* errors = nullptr;
    if (FAILED(status)) result->GetOutput(DXC_OUT_ERRORS, __uuidof(IDxcBlobUtf8), (void**)&errors, nullptr);
    const std::string told = errors ? errors->GetStringPointer() : FAILED(status) ? "refused" : "";
    result->Release();
    return told;
}

int main(int count, char** words) {
    void* library = count > 1 ? dlopen(words[1], RTLD_NOW) : nullptr;
    auto create = library ? (DxcCreateInstanceProc)dlsym(library, "DxcCreateInstance") : nullptr;
    IDxcCompiler3* compiler = nullptr;
    if (!create || FAILED(create(CLSID_DxcCompiler, __uuidof(IDxcCompiler3), (void**)&compiler))) {
        fprintf(stderr, "DXC's library cannot be used: %s\n", library ? words[1] : dlerror());
        return 2;
    }
    bool good = true;
    for (int i = 2; i < count; i++) {
        std::ifstream file(words[i]);
        std::stringstream text;
        text << file.rdbuf();
        const std::string told = refusal(compiler, text.str());
        if (!told.empty()) printf("%s: %.600s\n", words[i], told.c_str());
        good = good && told.empty();
    }
    return good ? 0 : 1;
}
