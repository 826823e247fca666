# Raw volumes, and the slice stores made of them.


rule fetch:
    output:
        record=f"{DATA}/{{dataset}}/fetch/{{archive}}.record.json",
    log:
        f"{RESULTS}/logs/fetch/{{dataset}}/{{archive}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch/{{dataset}}/{{archive}}.tsv"
    wildcard_constraints:
        archive=jobs.archives(),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=1440,
    params:
        options=jobs.fetch_options,
        out=subpath(output.record, ancestor=2),
    shell:
        "python -m xmodbench fetch {wildcards.dataset} {wildcards.archive:q} {params.options:q}"
        " --out {params.out:q} 2> {log:q}"


rule acquire:
    input:
        fetched=jobs.fetch_records,
    output:
        record=f"{DATA}/{{dataset}}/acquire.record.json",
    log:
        f"{RESULTS}/logs/acquire/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/acquire/{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=8000,
        runtime=1440,
    params:
        options=jobs.dataset_options,
        code=jobs.dataset_code,
        archives=jobs.raw_listing,
        seen=jobs.raw_seen,
        out=subpath(output.record, parent=True),
    shell:
        "python -m xmodbench acquire {wildcards.dataset} {params.options:q}"
        " --seen {params.seen:q} --out {params.out:q} 2> {log:q}"


rule prepare:
    input:
        acquired=rules.acquire.output.record,
    output:
        train=made(f"{DATA}/{{dataset}}/train/manifest.json"),
        test=made(f"{DATA}/{{dataset}}/test/manifest.json"),
        record=f"{DATA}/{{dataset}}/record.json",
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare/{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        mem_mb=16000,
        runtime=720,
    params:
        options=jobs.dataset_options,
        code=jobs.dataset_code,
        out=subpath(output.record, parent=True),
    shell:
        "python -m xmodbench prepare {wildcards.dataset} {params.options:q}"
        " --threads {threads} --out {params.out:q} 2> {log:q}"
