# Scores of every cell, and the report on all of them.


rule score:
    input:
        translation=rules.translate.output.record,
        test=rules.prepare.output.test,
        train=rules.prepare.output.train,
        prepared=jobs.preparation,
    output:
        scores=f"{RESULTS}/scores/{{method}}.{{dataset}}.{{source}}-to-{{target}}.csv",
        distances=f"{RESULTS}/scores/{{method}}.{{dataset}}.{{source}}-to-{{target}}.json",
        record=f"{RESULTS}/scores/{{method}}.{{dataset}}.{{source}}-to-{{target}}.record.json",
    log:
        f"{RESULTS}/logs/score/{{method}}.{{dataset}}.{{source}}-to-{{target}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score/{{method}}.{{dataset}}.{{source}}-to-{{target}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=jobs.asks.scoring_mem_mb,
        runtime=60,
    params:
        options=jobs.scoring_options,
        expect=jobs.score_expects,
        code=jobs.scoring_code,
        translation=folder(input.translation),
        test=folder(input.test),
        train=folder(input.train),
    shell:
        "python -m xmodbench score {params.options:q} --translation {params.translation:q}"
        " --data {params.test:q} --train-data {params.train:q}"
        " --source {wildcards.source} --target {wildcards.target}"
        " --expect {params.expect:q} --out {output.scores:q} 2> {log:q}"


rule report:
    input:
        jobs.score_files(),
        jobs.report_needs(),
        plots=jobs.plot_files(),
    output:
        html=report(
            f"{RESULTS}/report.html",
            caption="../report/report.rst",
            category="Benchmark",
            labels={"output": "report"},
        ),
        figure=report(
            f"{RESULTS}/figure.png",
            caption="../report/figure.rst",
            category="Benchmark",
            labels={"output": "figure"},
        ),
        table=report(
            f"{RESULTS}/table.csv",
            caption="../report/table.rst",
            category="Benchmark",
            labels={"output": "table"},
        ),
        paper=report(
            f"{RESULTS}/table1.html",
            caption="../report/table1.rst",
            category="Benchmark",
            labels={"output": "table 1"},
        ),
        figures=report(
            directory(f"{RESULTS}/figures"),
            patterns=["{name}.png"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        svg=f"{RESULTS}/figure.svg",
        json=f"{RESULTS}/table.json",
        markdown=f"{RESULTS}/table.md",
        manuscript=multiext(f"{RESULTS}/table1", ".tex", ".md", ".csv"),
        pictures=directory(f"{RESULTS}/report_files"),
        archive=f"{RESULTS}/report.zip",
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        config=jobs.config_json,
        code=jobs.report_code,
        out=subpath(output.html, parent=True),
    shell:
        "python -m xmodbench report --config {params.config:q} --out {params.out:q} 2> {log:q}"
